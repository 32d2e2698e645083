"""Structured logs: one JSON object a line on stderr, the same in every program."""

import logging
import sys
from contextlib import suppress
from typing import TextIO, cast

import structlog

from imagebatch.errors import SettingsError


def configure(level: str = "info") -> None:
    """Set the log up for this process. Raises SettingsError for an unknown level."""
    number = logging.getLevelNamesMapping().get(level.upper())
    if number is None:
        raise SettingsError(f"IMAGEBATCH_LOG_LEVEL: {level!r} is not debug, info, warning or error")
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(cast("TextIO", _Dropping(sys.stderr))),
        cache_logger_on_first_use=False,
    )


class _Dropping:
    """Text for a stream, dropped where there is no room for it: a full disk of logs ends no program."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        with suppress(OSError):
            self._stream.write(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()


def adopt_standard_logging() -> None:
    """Write what libraries log, from warnings up, as the same JSON lines."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processor=structlog.processors.JSONRenderer(),
            foreign_pre_chain=[
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                structlog.processors.format_exc_info,
            ],
        )
    )
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
