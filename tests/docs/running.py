"""An example is run: placeholders are filled from the answer before, the request is sent, the answer compared."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from tests.docs.matching import differences, matches
from tests.docs.reading import BASE, Answer, Request

_LINK: Final = re.compile(r"<([a-z]+)>|\$([A-Z]+)")
"""``<next>`` in HTTP, ``$NEXT`` in a shell: the URL of that link in the answer before."""


@dataclass(frozen=True)
class Got:
    """An answer as it came; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def links(self) -> dict[str, str]:
        try:
            body = json.loads(self.text)
        except ValueError:
            return {}
        return {link["relation"]: link["url"] for link in body.get("link", ())} if isinstance(body, dict) else {}


def filled(request: Request, links: Mapping[str, str], base: str = BASE) -> Request:
    """Return a request with an absolute URL under ``base``; links of the answer before are put in."""
    url = _LINK.sub(lambda match: links[(match[1] or match[2]).lower()], request.url)
    if url.startswith("/fhir"):
        url = BASE.removesuffix("/fhir") + url
    return replace(request, url=moved(url, base), body=moved(request.body, base))


def moved(text: str, base: str) -> str:
    """Return a text in which the server of all pages is that of ``base``, on its other base paths too."""
    return text.replace(BASE.removesuffix("/fhir"), base.removesuffix("/fhir"))


def compared(told: Answer, got: Got, base: str = BASE) -> Iterator[str]:
    """Yield what an answer has otherwise than the page says."""
    if told.status != got.status:
        yield f"the status is {got.status}, the page says {told.status}"
    for name, value in told.headers.items():
        received = got.headers.get(name.lower())
        if received is None or not matches(moved(value, base), received):
            yield f"{name} is {received!r}, the page says {value!r}"
    if told.is_empty and got.text:
        yield "there is a body, the page says none"
    if told.body is not None:
        if not got.text:
            yield "there is no body"
            return
        body: Any = json.loads(got.text)
        yield from differences(json.loads(moved(json.dumps(told.body), base)), body)
