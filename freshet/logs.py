"""What the process says, on stderr: readable in a terminal, one JSON object a line elsewhere."""

import logging
import sys

import structlog

_QUIET = (
    "aiokafka",
    "faust",
    "mode",
    "asyncio",
    "aiohttp",
    "eventlog.faust_consumer",
    "tables.faust_tables",
    "eventlog.faust_producer",
    "eventlog.kafka.faust_transport",
    "tables.faust_recovery",
    "tables.faust_store",
)


def recovering(stage: str, done: int, total: int) -> None:
    """Say that ``done`` of ``total`` of ``stage`` is recovered."""
    structlog.get_logger(__name__).info("recovering", stage=stage, done=done, total=total)


class _NoRepeats:
    """Leaves out a traceback whose root cause the one before told: what fails once is reported by
    all who depended on it."""

    def __init__(self) -> None:
        self._last = ""

    def __call__(
        self, logger: object, name: str, event: structlog.typing.EventDict
    ) -> structlog.typing.EventDict:
        error = event.get("exc_info")
        if error is True:
            error = sys.exc_info()
        if isinstance(error, tuple):
            error = error[1]
        if isinstance(error, BaseException):
            root = str(root_cause(error))
            # Each adds to the text what it was doing, before or after the cause.
            if root and self._last and (root in self._last or self._last in root):
                del event["exc_info"]
            else:
                self._last = root
        return event


def root_cause(error: BaseException) -> BaseException:
    """What ``error`` was raised from, and that, to the first."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def configure(level: str) -> None:
    """Let everything from ``level`` up through; of libraries only warnings."""
    console = sys.stderr.isatty()
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="%H:%M:%S" if console else "iso", utc=not console),
    ]
    last: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer() if console else structlog.processors.JSONRenderer()
    )
    traces = [] if console else [structlog.processors.format_exc_info]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                _NoRepeats(),
                *traces,
                last,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
