"""Structured logs: one line for each event, as JSON or for a console."""

from __future__ import annotations

import json
import logging
import os
import sys
from datetime import UTC, datetime
from typing import IO, Any, Literal

import msgspec
import structlog

from webhook.terminal import has_colours

LogFormat = Literal["json", "console"]
LogLevel = Literal["debug", "info", "warning", "error"]


def configure(log_format: LogFormat, level: LogLevel) -> None:
    """Send the logs of the whole process, libraries included, to standard output.

    Logging never fails: a line that cannot be written is lost.
    """
    threshold = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[_as_json] if log_format == "json" else _console(),
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=_json_output() if log_format == "json" else _console_output(),
        cache_logger_on_first_use=True,
    )
    _route_standard_logging(threshold)


def log_crash() -> None:
    """Log the exception that is being handled and that ends the server."""
    structlog.get_logger().exception("the server failed")


_encode = msgspec.json.Encoder(enc_hook=str).encode


def _as_json(logger: Any, level: str, event: Any) -> bytes:
    """One JSON line. A single function, because it runs on every admission."""
    if event.get("exc_info"):
        event = structlog.processors.format_exc_info(logger, level, event)
    line = {"timestamp": datetime.now(UTC), "level": level, **event}
    try:
        return _encode(line)
    except (TypeError, ValueError):
        return json.dumps(line, default=str, skipkeys=True).encode()


def _json_output() -> Any:
    return structlog.BytesLoggerFactory(file=_LossyStream(sys.stdout.buffer))  # type: ignore[arg-type]


def _console() -> list[Any]:
    # Pretty tracebacks show the values of variables, secrets among them, and take seconds for a large pod.
    formatter = structlog.dev.plain_traceback
    return [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper("%H:%M:%S", utc=False),
        structlog.dev.ConsoleRenderer(
            colors=sys.stdout.isatty() and has_colours(os.environ), exception_formatter=formatter
        ),
    ]


def _console_output() -> Any:
    return structlog.PrintLoggerFactory(file=_LossyStream(sys.stdout))  # type: ignore[arg-type]


class _LossyStream:
    """A stream that drops what it cannot write: a closed log must not fail an admission."""

    def __init__(self, stream: IO[Any]) -> None:
        self._stream = stream

    def write(self, data: Any) -> None:
        try:
            self._stream.write(data)
        except (OSError, ValueError):
            return

    def flush(self) -> None:
        try:
            self._stream.flush()
        except (OSError, ValueError):
            return


def _route_standard_logging(threshold: int) -> None:
    root = logging.getLogger()
    root.handlers = [_ToStructlog()]
    # From libraries only warnings and errors; our own events say the rest.
    root.setLevel(max(threshold, logging.WARNING))
    logging.getLogger("webhook").setLevel(threshold)


class _ToStructlog(logging.Handler):
    """Routes the standard library's log records to structlog, so that all lines have one format."""

    def emit(self, record: logging.LogRecord) -> None:
        # structlog knows the levels by tens.
        level = min(max(record.levelno // 10 * 10, logging.DEBUG), logging.CRITICAL)
        try:
            event = record.getMessage()
            structlog.get_logger().log(level, event, logger=record.name, exc_info=record.exc_info or None)
        except Exception:
            self.handleError(record)
