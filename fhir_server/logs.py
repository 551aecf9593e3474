"""Logs: one JSON object a line on stderr, made of the fields listed here and of nothing else.

No line holds personal data: a request is told by its method and resource type, never by its URL, query, headers or
body; an exception by its class and its trace, without its text unless that text cannot quote a resource. Only
``FHIR_LOG_LEVEL=debug`` writes all texts, and is not meant for real data.
"""

from __future__ import annotations

import json
import logging
import sqlite3
import traceback
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from time import gmtime, strftime
from typing import Any, Final

FIELDS: Final = ("request_id", "method", "type", "interaction", "status", "ms")
"""What a line may hold beside time, level, logger, message and exception: the ``extra`` of the logging call."""

QUOTED: Final = (OSError, sqlite3.Error, ImportError, AttributeError, NameError, TypeError, MemoryError, RecursionError)
"""Exceptions whose text names code, files or columns, never the content of a resource."""

_ENCODE: Final = json.JSONEncoder(default=str, check_circular=False).encode
"""Made once: ``json.dumps`` with options makes an encoder for each line."""

_ECHO: Final = "Application startup failed. Exiting."
"""What uvicorn adds when the reason was already told."""


def configuration(level: str, form: str) -> dict[str, Any]:
    """Return what ``logging.config.dictConfig`` takes; ``form`` is json or text.

    Other packages speak from warnings on, unless everything is asked for.
    """
    others = "DEBUG" if level == "debug" else "WARNING"
    formatter = "fhir_server.logs.JsonLines" if form == "json" else "fhir_server.logs.TextLines"
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "filters": {"news": {"()": "fhir_server.logs.News"}},
        "formatters": {"lines": {"()": formatter, "quotes": level == "debug"}},
        "handlers": {
            "stderr": {
                "class": "logging.StreamHandler",
                "formatter": "lines",
                "filters": ["news"],
                "stream": "ext://sys.stderr",
            }
        },
        "root": {"level": others, "handlers": ["stderr"]},
        "loggers": {"fhir_server": {"level": level.upper()}, "uvicorn": {"level": others}},
    }


# No line shows them, and each costs a call for every record.
logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False


def tell(logger: logging.Logger, message: str, fields: Mapping[str, Any]) -> None:
    """Write a line of level info with ``FIELDS``: what ``Logger.info`` does, without looking for its caller.

    One is written for each request; looking for the caller would be a quarter of its cost.
    """
    record = logging.LogRecord(logger.name, logging.INFO, "", 0, message, None, None)
    record.__dict__.update(fields)
    logger.handle(record)


class News(logging.Filter):
    """Keeps what was not told before."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.msg != _ECHO


class JsonLines(logging.Formatter):
    """Format a record as one line of JSON."""

    def __init__(self, *, quotes: bool = False) -> None:
        """``quotes``: write the text of every exception, whatever it may quote."""
        super().__init__()
        self.quotes = quotes

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": f"{_second(int(record.created))}.{int(record.created % 1 * 1000):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_fields(record),
        }
        if error := _error(record):
            line["exception"] = "\n".join(_tell(error, self.quotes))
        return _ENCODE(line)


@lru_cache(maxsize=4)
def _second(epoch: int) -> str:
    return strftime("%Y-%m-%dT%H:%M:%S", gmtime(epoch))


class TextLines(logging.Formatter):
    """Format a record for a person at a terminal."""

    def __init__(self, *, quotes: bool = False) -> None:
        """``quotes``: write the text of every exception, whatever it may quote."""
        super().__init__()
        self.quotes = quotes

    def format(self, record: logging.LogRecord) -> str:
        fields = _fields(record)
        request = fields.pop("request_id", "")
        if "ms" in fields:
            fields["ms"] = f"{fields['ms']} ms"
        words = (record.getMessage(), *map(str, fields.values()), request and f"[{request}]")
        text = " ".join(word for word in words if word)
        line = f"{_time(record).astimezone():%H:%M:%S} {record.levelname.lower():<7} {_printable(text)}"
        error = _error(record)
        return "\n".join((line, *_tell(error, self.quotes))) if error else line


def _time(record: logging.LogRecord) -> datetime:
    return datetime.fromtimestamp(record.created, UTC)


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    own = record.__dict__
    return {name: value for name in FIELDS if (value := own.get(name)) not in (None, "")}


def _error(record: logging.LogRecord) -> BaseException | None:
    return record.exc_info[1] if record.exc_info else None


def _tell(error: BaseException, quotes: bool) -> Iterator[str]:
    """Yield the lines of a trace, the oldest exception first."""
    earlier = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if earlier is not None:
        yield from _tell(earlier, quotes)
        yield "which led to:"
    yield "".join(traceback.format_tb(error.__traceback__)).rstrip("\n")
    name = f"{type(error).__module__}.{type(error).__qualname__}".removeprefix("builtins.")
    text = str(error) if quotes or isinstance(error, QUOTED) else ""
    yield _printable(f"{name}: {text}" if text else name)
    if isinstance(error, BaseExceptionGroup):
        for member in error.exceptions:
            yield from _tell(member, quotes)


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text)
