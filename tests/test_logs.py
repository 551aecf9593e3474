"""Log lines: fields that are named and no others, and no personal data."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from fhir_server.logs import FIELDS, JsonLines, JsonStream, TextLines, collect_less, configuration, tell

NAME = "Jeanne DUPONT"


def record(message: str, *arguments: object, error: BaseException | None = None, **extra: Any) -> logging.LogRecord:
    info = (type(error), error, error.__traceback__) if error else None
    made = logging.LogRecord("fhir_server.request", logging.INFO, __file__, 1, message, arguments, info)
    made.created = 1_772_000_000.25
    vars(made).update(extra)
    return made


def raised(error: Exception) -> Exception:
    try:
        raise error
    except type(error) as caught:
        return caught


def test_json_line_holds_the_fields_of_the_request() -> None:
    extra: dict[str, Any] = {"request_id": "r-1", "method": "GET", "type": "Slot", "status": 200, "ms": 1.25}
    line = json.loads(JsonLines().format(record("request", **extra)))
    head = {"time": "2026-02-25T06:13:20.250Z", "level": "info", "logger": "fhir_server.request", "message": "request"}
    assert line == head | extra


def test_field_that_is_not_listed_is_not_written() -> None:
    assert "query" not in FIELDS
    for lines in (JsonLines(), TextLines()):
        assert NAME not in lines.format(record("request", query=f"name={NAME}", body=NAME, url=NAME))


def test_json_line_is_one_line_of_ascii_whatever_the_message() -> None:
    text = JsonLines().format(record("two\nlines \u2028 %s", "\ud800é"))
    assert text.isascii()
    assert text.isprintable()
    assert json.loads(text)["message"] == "two\nlines \u2028 \ud800é"


def test_exception_is_told_with_class_and_trace_and_without_its_text() -> None:
    line = json.loads(JsonLines().format(record("unexpected", error=raised(ValueError(NAME)))))
    assert line["exception"].splitlines()[-1] == "ValueError"
    assert "in raised" in line["exception"]
    assert NAME not in line["exception"]


def test_cause_and_group_of_an_exception_are_told_without_their_texts() -> None:
    try:
        try:
            raise ValueError(NAME)
        except ValueError as cause:
            raise ExceptionGroup(NAME, [LookupError(NAME), OSError(28, "No space left on device")]) from cause
    except ExceptionGroup as error:
        text = TextLines().format(record("unexpected", error=error))
    assert NAME not in text
    assert "ValueError\nwhich led to:\n" in text
    assert "\nLookupError\n" in text
    assert text.endswith("OSError: [Errno 28] No space left on device")


def test_text_of_an_exception_that_cannot_quote_a_resource_is_told() -> None:
    error = raised(AttributeError("'NoneType' object has no attribute 'key'"))
    assert "AttributeError: 'NoneType' object" in TextLines().format(record("unexpected", error=error))


def test_debug_level_tells_every_text() -> None:
    assert f"ValueError: {NAME}" in JsonLines(quotes=True).format(record("x", error=raised(ValueError(NAME))))


def test_text_line_is_for_a_person_and_keeps_control_characters_out() -> None:
    extra: dict[str, Any] = {"request_id": "r-1", "method": "GET", "type": "Slot", "status": 200, "ms": 1.25}
    text = TextLines().format(record("request\x1b[31m\nforged", **extra))
    assert text.endswith("info    request [31m forged GET Slot 200 1.25 ms [r-1]")


def test_other_programs_keep_their_records_until_the_server_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    imported = "import logging, fhir_server.logs; assert logging.logThreads and logging.logProcesses"
    subprocess.run([sys.executable, "-c", imported], check=True, timeout=60)
    for name in ("logThreads", "logProcesses", "logMultiprocessing"):
        monkeypatch.setattr(logging, name, True)
    collect_less()
    assert record("request").thread is None


@pytest.mark.parametrize("form", ["json", "text"])
def test_other_packages_speak_from_warnings_on(form: str) -> None:
    made = configuration("info", form)
    assert made["root"]["level"] == "WARNING"
    assert made["loggers"]["fhir_server"]["level"] == "INFO"
    assert configuration("debug", form)["root"]["level"] == "DEBUG"


async def test_lines_of_a_turn_are_written_together_and_before_a_later_record() -> None:
    stream = Writes()
    handler, logger = listening(stream)
    try:
        for status in (200, 404):
            tell(logger, "request", {"status": status, "type": ""})
        assert stream.written == []
        logger.warning("later")
        tell(logger, "request", {"status": 410})
        await asyncio.sleep(0)
    finally:
        logging.root.handlers = handler
    first, second, third = ([json.loads(line) for line in text.splitlines()] for text in stream.written if text)
    assert [line.get("status") for line in first] == [200, 404] and "type" not in first[0]
    assert [line["message"] for line in second] == ["later"]
    assert [line["status"] for line in third] == [410] and third[0]["level"] == "info"


@pytest.mark.parametrize(
    "stream", [lambda: Writes(error=OSError(28, "No space left on device")), lambda: closed(Writes()), lambda: None]
)
async def test_line_for_a_stream_that_fails_stops_nobody(
    stream: Callable[[], Writes | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    handler, logger = listening(stream())
    try:
        tell(logger, "request", {"status": 200})
        await asyncio.sleep(0)
        logger.warning("later")
    finally:
        logging.root.handlers = handler


class Writes(io.StringIO):
    """Keeps what each call wrote."""

    def __init__(self, error: OSError | None = None) -> None:
        super().__init__()
        self.written: list[str] = []
        self._error = error

    def write(self, text: str) -> int:
        if self._error:
            raise self._error
        self.written.append(text)
        return super().write(text)


def closed(stream: Writes) -> Writes:
    stream.close()
    return stream


def listening(stream: Writes | None) -> tuple[list[logging.Handler], logging.Logger]:
    """Have a stream listen alone; return who listened before, and a logger."""
    handler = JsonStream(stream)
    handler.setFormatter(JsonLines())
    before, logging.root.handlers = logging.root.handlers, [handler]
    logger = logging.getLogger("fhir_server.test")
    return before, logger
