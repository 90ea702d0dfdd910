"""Logs as JSON lines: ids, counts and codes, never values from a patient's file."""

import json
import logging
import sys
from typing import IO, Any

from medray.clock import stamp
from medray.veil import veiled_fields

_LOGGER = logging.getLogger("medray")


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, event and the fields given by `event`."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {"time": stamp(), "level": record.levelname.lower()}
        line["event"] = record.getMessage()
        line.update(getattr(record, "fields", {}))
        if record.exc_info and record.exc_info[0] is not None:
            # The type alone: a third-party message can quote the file it choked on.
            line["exception"] = record.exc_info[0].__name__
        return json.dumps(veiled_fields(line))


def configure(level: str = "warning", stream: IO[str] | None = None) -> None:
    """Send medray's log lines at or above `level` to `stream` (default standard error)."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter())
    _LOGGER.handlers[:] = [handler]
    _LOGGER.setLevel(level.upper())
    _LOGGER.propagate = False


def event(name: str, *, level: int = logging.INFO, **fields: Any) -> None:
    """Log that `name` happened; `fields` are ids, counts, codes and durations."""
    _LOGGER.log(level, name, extra={"fields": fields})
