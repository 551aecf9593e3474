"""Logs: one JSON object a line on stderr, made of the fields listed here and of nothing else.

No line holds personal data: a request is told by its method and resource type, never by its URL, query, headers or
body; an exception by its class and its trace, without its text unless that text cannot quote a resource. Only
``FHIR_LOG_LEVEL=debug`` writes all texts, and is not meant for real data.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sqlite3
import traceback
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache
from json.encoder import encode_basestring_ascii
from time import gmtime, strftime, time
from typing import Any, Final, TextIO

FIELDS: Final = ("request_id", "method", "type", "interaction", "status", "ms", "reason", "certificate")
"""What a line may hold beside time, level, logger, message and exception: the ``extra`` of the logging call."""

QUOTED: Final = (OSError, sqlite3.Error, ImportError, AttributeError, NameError, TypeError, MemoryError, RecursionError)
"""Exceptions whose text names code, files or columns, never the content of a resource."""

_ENCODE: Final = json.JSONEncoder(default=str, check_circular=False).encode
"""Made once: ``json.dumps`` with options makes an encoder for each value."""

_ECHO: Final = "Application startup failed. Exiting."
"""What uvicorn adds when the reason was already told."""


def configuration(level: str, form: str) -> dict[str, Any]:
    """Return what ``logging.config.dictConfig`` takes; ``form`` is json or text.

    Other packages speak from warnings on, unless everything is asked for.
    """
    others = "DEBUG" if level == "debug" else "WARNING"
    formatter = "fhir_server.logs.JsonLines" if form == "json" else "fhir_server.logs.TextLines"
    handler = "fhir_server.logs.JsonStream" if form == "json" else "logging.StreamHandler"
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "filters": {"news": {"()": "fhir_server.logs.News"}},
        "formatters": {"lines": {"()": formatter, "quotes": level == "debug"}},
        "handlers": {
            "stderr": {
                "class": handler,
                "formatter": "lines",
                "filters": ["news"],
                "stream": "ext://sys.stderr",
            }
        },
        "root": {"level": others, "handlers": ["stderr"]},
        "loggers": {"fhir_server": {"level": level.upper()}, "uvicorn": {"level": others}},
    }


def collect_less() -> None:
    """Let records be made without their thread and process: no line shows them, and each costs a call."""
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False


def tell(logger: logging.Logger, message: str, fields: Mapping[str, Any]) -> None:
    """Write a line of level info with ``FIELDS``, as ``Logger.info`` does; to be called on the event loop.

    One is written for each request. By way of a record, and each by a call of the system, they would be a third of what
    a read costs; so neither is done where nobody listens but ``JsonStream``.
    """
    listening = logging.root.handlers
    if len(listening) == 1 and isinstance(stream := listening[0], JsonStream):
        stream.tell(logger.name, message, fields)
        return
    record = logging.LogRecord(logger.name, logging.INFO, "", 0, message, None, None)
    record.__dict__.update(fields)
    logger.handle(record)


class JsonStream(logging.StreamHandler[TextIO]):
    """Writes records as lines of JSON, and without records what happens in one turn of the event loop together."""

    def __init__(self, stream: TextIO | None = None) -> None:
        super().__init__(stream)
        self._waiting: deque[tuple[float, str, str, Mapping[str, Any]]] = deque()

    def tell(self, logger: str, message: str, fields: Mapping[str, Any]) -> None:
        """Have a line of level info written once the loop has done what is ready."""
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self.flush)
        self._waiting.append((time(), logger, message, fields))

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, after the lines that came before it."""
        self.flush()
        super().emit(record)

    def flush(self) -> None:
        """Write the lines that wait; where the stream fails there is nobody left to be told."""
        self.acquire()
        try:
            lines = []
            while self._waiting:
                at, logger, message, fields = self._waiting.popleft()
                lines.append(f"{_json_line(at, 'info', logger, message, fields)}{self.terminator}")
            with suppress(OSError, ValueError, AttributeError):  # full, closed, or none at all
                self.stream.write("".join(lines))
                super().flush()
        finally:
            self.release()


class News(logging.Filter):
    """Keeps what was not told before."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether the record is news."""
        return record.msg != _ECHO


class JsonLines(logging.Formatter):
    """Format a record as one line of JSON."""

    def __init__(self, *, quotes: bool = False) -> None:
        """``quotes``: write the text of every exception, whatever it may quote."""
        super().__init__()
        self.quotes = quotes

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, in ASCII: time in UTC, level, logger, message, ``FIELDS`` and the trace of an exception."""
        fields = _fields(record)
        if error := _error(record):
            fields["exception"] = "\n".join(_tell(error, self.quotes))
        return _json_line(record.created, record.levelname.lower(), record.name, record.getMessage(), fields)


def _json_line(created: float, level: str, logger: str, message: str, fields: Mapping[str, Any]) -> str:
    head = f'"time": "{_second(int(created))}.{int(created % 1 * 1000):03d}Z", "level": "{level}"'
    rest = [f', "{name}": {_json(value)}' for name, value in fields.items() if value not in (None, "")]
    return f'{{{head}, "logger": {_json(logger)}, "message": {_json(message)}{"".join(rest)}}}'


def _json(value: Any) -> str:
    if isinstance(value, str):
        return encode_basestring_ascii(value)
    return repr(value) if type(value) in {int, float} else _ENCODE(value)


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
        """Return the line, with local time, and below it the trace of an exception."""
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
