"""Taking events from a Faust stream in batches, without a timer."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from faust.types import EventT


async def take_batches(
    stream: Any, max_events: int, linger: float = 0.0
) -> AsyncIterator[list[EventT[Any]]]:
    """Whatever waits, at least one event and at most ``max_events``, as soon as there is one.

    Where fewer than ``max_events`` wait by then, others have ``linger`` seconds to join them.
    Unlike ``stream.take_events`` it does not wake a thousand times a second while nothing comes,
    adds no other delay, and acknowledges a batch only when the next one is asked for: not when
    the agent was cancelled or failed in the middle of it, or partitions were assigned anew.
    """
    await stream.maybe_start()
    app, queue = stream.app, aiter(stream.channel).queue
    while not stream.should_stop:
        try:
            batch = [await queue.get()]
        except StopAsyncIteration:  # how Faust ends a channel
            return
        if linger and queue.qsize() + 1 < max_events:
            await asyncio.sleep(linger)
        while len(batch) < max_events:
            if queue.empty():
                await asyncio.sleep(0)  # a turn for the consumer, which delivers in small slices
                if queue.empty():
                    break
            batch.append(queue.get_nowait())
        generation = app.consumer_generation_id
        batch = [event for event in batch if event.message.generation_id == generation]
        if batch and app.flow_control.is_active():
            yield batch
            if app.consumer_generation_id == generation:
                for event in batch:
                    event.ack()
