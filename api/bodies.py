"""Request bodies: read, bounded, decoded in slices that do not hold the event loop."""

import asyncio
import re
import zlib
from typing import TypeVar

import msgspec
from aiohttp import web

from api.problems import UNDECODABLE, Problem, undecodable
from api.services import SETTINGS
from personalization.wire import Line

MAX_LINES = 10_000
NDJSON = ("application/x-ndjson", "application/ndjson", "application/jsonl")

T = TypeVar("T")

# The window bits by which zlib knows a format.
_ENCODINGS = {"gzip": zlib.MAX_WBITS + 16, "x-gzip": zlib.MAX_WBITS + 16, "deflate": zlib.MAX_WBITS}
_INFLATED = 256 << 10  # takes about 0.5 ms
_PIECE = 32 << 10  # decodes in about 0.2 ms
_BETWEEN = re.compile(rb"\}\s*,\s*\{")
_LINE = msgspec.json.Decoder(Line)
_LINES = msgspec.json.Decoder(list[Line])


async def read(request: web.Request) -> bytes:
    """The body, decompressed.

    Raises ``Problem``: 413 above the bound, 415 for an encoding that is not known, 400 if there
    is none or it cannot be read to its end.
    """
    bound = request.app[SETTINGS].max_body
    if (request.content_length or 0) > bound:
        raise too_large(bound)
    try:
        body = await request.read()
    except web.HTTPRequestEntityTooLarge as error:
        raise too_large(bound) from error
    except web.RequestPayloadError as error:
        raise Problem(400, f"the body cannot be read: {error}") from error
    encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding != "identity":
        body = await _inflated(body, encoding, bound)
    if not body.strip():
        raise Problem(400, "the body is empty")
    return body


async def _inflated(body: bytes, encoding: str, bound: int) -> bytes:
    """``body`` without its content encoding, of which all must be there."""
    if encoding not in _ENCODINGS:
        detail = f"the content encoding {encoding[:40]!r} is not one of gzip, deflate"
        raise Problem(415, detail, headers={"Accept-Encoding": "gzip, deflate"})
    plain = bytearray()
    while body:  # gzip may have several members, one after the other
        stream = zlib.decompressobj(_ENCODINGS[encoding])
        while not stream.eof:
            try:
                piece = stream.decompress(body, _INFLATED)
            except zlib.error as error:
                raise Problem(400, f"the body is not {encoding}: {error}") from error
            plain += piece
            if len(plain) > bound:
                raise too_large(bound)
            body = stream.unconsumed_tail
            if not piece and not body and not stream.eof:
                raise Problem(400, f"the body is cut short: its {encoding} has no end")
            await asyncio.sleep(0)
        body = stream.unused_data
    return bytes(plain)


def too_large(bound: int) -> Problem:
    """The 413 that says what the bound is."""
    return Problem(413, f"the body is over {bound} bytes")


async def read_as(request: web.Request, decoder: msgspec.json.Decoder[T]) -> T:
    """The body as one struct. Raises ``Problem``."""
    body = await read(request)
    try:
        return decoder.decode(body)
    except UNDECODABLE as error:
        raise undecodable(error, body, kind=decoder.type) from error


async def read_lines(request: web.Request) -> list[Line]:
    """The events of a body: one object, an array, or NDJSON. Raises ``Problem``.

    All of the body parses or none of it is taken.
    """
    body = await read(request)
    if request.content_type in NDJSON:
        lines = await _ndjson(body)
    elif body.lstrip()[:1] == b"[":
        lines = await _array(body)
    else:
        try:
            lines = [_LINE.decode(body)]
        except UNDECODABLE as error:
            raise undecodable(error, body) from error
    if len(lines) > MAX_LINES:
        raise Problem(413, f"{len(lines)} events are more than the {MAX_LINES} a request may have")
    return lines


async def _ndjson(body: bytes) -> list[Line]:
    lines: list[Line] = []
    start = 0
    while start < len(body):
        end = body.find(b"\n", start + _PIECE) + 1 or len(body)
        piece = body[start:end]
        try:
            lines += _LINE.decode_lines(piece)
        except UNDECODABLE as error:
            raise _wrong_line(body) or undecodable(error, body) from error
        start = end
        await asyncio.sleep(0)
    return lines


def _wrong_line(body: bytes) -> Problem | None:
    """What is wrong with the first line that does not parse."""
    lines = [line for line in body.split(b"\n") if line.strip()]
    for index, line in enumerate(lines):
        try:
            _LINE.decode(line)
        except UNDECODABLE as error:
            return undecodable(error, line, f"[{index}]")
    return None


async def _array(body: bytes) -> list[Line]:
    """Piece by piece, each cut between two objects.

    Where such a cut lies within a text, the piece before it does not parse (its last text never
    ends), and what parses is made of whole elements. If a piece does not parse, all is decoded at
    once, for the error's place in the whole.
    """
    lines: list[Line] = []
    start = body.index(b"[") + 1
    try:
        while len(body) - start > _PIECE:
            cut = _BETWEEN.search(body, start + _PIECE)
            if cut is None:
                break
            lines += _LINES.decode(b"[%b]" % body[start : cut.start() + 1])
            start = cut.end() - 1
            await asyncio.sleep(0)
        return lines + _LINES.decode(b"[%b" % body[start:])
    except UNDECODABLE:
        try:
            return _LINES.decode(body)
        except UNDECODABLE as error:
            raise undecodable(error, body) from error
