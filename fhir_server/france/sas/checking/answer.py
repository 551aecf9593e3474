"""An answer as it came over HTTP, and the checks that hold of every one.

Spec: https://hl7.org/fhir/R4/http.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from fhir_server.france.sas.checking.looking import text
from fhir_server.france.sas.checking.verdict import Verdict
from fhir_server.model.formats import parse
from fhir_server.outcome import FhirError

KIT_SECONDS: Final = 1.0
"""What the test kit grants a search for one professional."""
GUIDE_SECONDS: Final = 7.0
"""What the guide grants any search."""

_CHARSET: Final = re.compile(r"charset\s*=\s*\"?([^\s;\"]+)", re.IGNORECASE)


@dataclass(frozen=True)
class Answer:
    """``headers`` have names in lower case. ``seconds`` ran from sending the request to the last byte. ``failure``: why
    there is no answer, in a few words; then the status is 0."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    seconds: float = 0.0
    failure: str = ""

    @cached_property
    def json(self) -> Any:
        """The body as JSON; None: it is none."""
        try:
            return parse(self.body)
        except FhirError:
            return None

    @property
    def type(self) -> str:
        """The type of the resource in the body; empty: there is none."""
        return text(self.json, "resourceType")

    @property
    def is_done(self) -> bool:
        """What was asked was done."""
        return 200 <= self.status < 300

    @property
    def is_refused(self) -> bool:
        """It was answered that it is not done."""
        return 400 <= self.status < 600

    @property
    def told(self) -> str:
        """What came, in a few words that tell nothing of anybody."""
        if self.failure:
            return self.failure
        return f"{self.status} {self.type or self.headers.get('content-type', 'without a body')}"


def check_media(answer: Answer) -> Iterator[Verdict]:
    """Judge the headers and the characters of an answer with a body."""
    kind = answer.headers.get("content-type", "")
    yield Verdict(
        "content-type", kind.partition(";")[0].strip().lower() == "application/fhir+json", "Content-Type", kind
    )
    charset = _CHARSET.search(kind)
    named = charset is None or charset[1].lower() in {"utf-8", "utf8"}
    yield Verdict("charset", named and _is_utf8(answer.body), "Content-Type", kind if not named else "body")


def check_seconds(answer: Answer, *, is_for_one: bool) -> Iterator[Verdict]:
    """Judge how long an answer took; ``is_for_one``: one professional was asked for."""
    took = f"{answer.seconds:.2f} s"
    yield Verdict("seconds", answer.seconds < GUIDE_SECONDS, "", took)
    if is_for_one:
        yield Verdict("seconds-for-one", answer.seconds < KIT_SECONDS, "", took)


def _is_utf8(body: bytes) -> bool:
    try:
        body.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
