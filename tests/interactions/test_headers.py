"""Dates of HTTP in the three forms that it has. https://www.rfc-editor.org/rfc/rfc9110#section-5.6.7"""

from __future__ import annotations

import pytest

from fhir_server.interactions.headers import if_modified_since, if_unmodified_since
from fhir_server.outcome import BadRequest

INSTANT = 784_111_777_000_000


@pytest.mark.parametrize(
    "text", ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"]
)
def test_each_form_of_a_date_is_read_as_gmt(text: str) -> None:
    assert if_unmodified_since({"if-unmodified-since": text}) == INSTANT
    assert if_modified_since({"if-modified-since": text}) == INSTANT


@pytest.mark.parametrize(
    "text", ["Sun, 06 Nov 1994 08:49:37", "1994-11-06T08:49:37Z", "Sun Nov 99 08:49:37 1994", "now"]
)
def test_what_is_no_date_of_http_is_refused_where_it_protects_others(text: str) -> None:
    with pytest.raises(BadRequest):
        if_unmodified_since({"if-unmodified-since": text})
    assert if_modified_since({"if-modified-since": text}) is None
