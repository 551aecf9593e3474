"""Subjects of certificates as text, and the list of those that are let in."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.rest.subjects import Client, Subject, listed, name_of, pairs_of, read

CLIENT = Client("sas.example.org", "1259999068")


@pytest.mark.parametrize(
    ("text", "cns", "ous"),
    [
        ("CN=sas.example.org,OU=1259999068,O=Exemple,C=FR", ("sas.example.org",), ("1259999068",)),
        ("C=FR, O=Exemple, OU = 1259999068 , CN = sas.example.org", ("sas.example.org",), ("1259999068",)),
        ("cn=a+ou=b", ("a",), ("b",)),
        ("2.5.4.3=a,2.5.4.11=b", ("a",), ("b",)),
        ("emailAddress=a@b,commonName=a,organizationalUnitName=b", ("a",), ("b",)),
        ("CN=a,OU=b,OU=c", ("a",), ("b", "c")),
        (r"CN=\C3\89diteur\, fictif,OU=b", ("Éditeur, fictif",), ("b",)),
        (r"CN=Éditeur\2C fictif,OU=b", ("Éditeur, fictif",), ("b",)),
        ('CN="Éditeur, fictif",OU=b', ("Éditeur, fictif",), ("b",)),
        (r"CN=a\ ,OU=\ b", ("a ",), (" b",)),
        (r"CN=a\\ ,OU=b", ("a\\",), ("b",)),
        (r"CN=a\,OU\=b", ("a,OU=b",), ()),
        ("CN=a=b,OU=", ("a=b",), ("",)),
    ],
)
def test_subject_is_read(text: str, cns: tuple[str, ...], ous: tuple[str, ...]) -> None:
    assert read(text) == Subject(cns, ous)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "sas.example.org",
        "/C=FR/OU=1259999068/CN=sas.example.org",
        "CN=a,",
        "CN=a,,OU=b",
        ",CN=a",
        "CN=a;OU=b",
        'CN="a',
        'CN="a"b',
        'CN=a"b',
        "CN=#0C0161",
        "CN=a\\",
        r"CN=a\b",
        r"CN=\C3\28",
        "CN=a<b",
        "CN=a\x00b",
        "=a",
        "C N=a",
        "CN=\udcff",
    ],
)
def test_what_is_no_subject_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        read(text)


PAIRS = st.lists(st.tuples(st.sampled_from(["CN", "OU", "O", "1.2.3"]), st.text(max_size=12)), min_size=1, max_size=5)


@given(PAIRS)
def test_subject_that_is_written_is_read_back(pairs: list[tuple[str, str]]) -> None:
    assert pairs_of(name_of(pairs)) == pairs


@given(st.text(alphabet='CNOU=,+;\\"# aé\x00\udcff0', max_size=20))
def test_any_text_is_read_or_refused(text: str) -> None:
    with suppress(ValueError):
        pairs = pairs_of(text)
        text = name_of(pairs)
        assert pairs_of(text) == pairs


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("CN=sas.example.org,OU=1259999068", ""),
        ("CN=sas.example.org,OU=1259999027,OU=1259999068", ""),
        ("CN=sas.example.org,OU=1259999027", "wrong-ou"),
        ("CN=sas.example.org", "wrong-ou"),
        ("CN=sas.example.org,O=1259999068", "wrong-ou"),
        ("CN=SAS.example.org,OU=1259999068", "wrong-cn"),
        ("OU=1259999068", "wrong-cn"),
        ("CN=sas.example.org,CN=other,OU=1259999068", "wrong-cn"),
        ("CN=sas.example.org,CN=sas.example.org,OU=1259999068", "wrong-cn"),
        (r"CN=x\,CN=sas.example.org,OU=1259999068", "wrong-cn"),
        (r"CN=sas.example.org\00,OU=1259999068", "wrong-cn"),
        ("CN=region.example.org,OU=1259999068", "wrong-ou"),
    ],
)
def test_cn_and_ou_must_be_those_of_one_client(text: str, why: str) -> None:
    assert read(text).unlisted({CLIENT, Client("region.example.org", "1259999027")}) == why


def test_list_is_read_from_text_and_from_a_file(tmp_path: Path) -> None:
    assert listed("") == frozenset()
    assert listed(r"CN=sas.example.org,OU=1259999068; OU=b,CN=a\;c") == {CLIENT, Client("a;c", "b")}
    file = tmp_path / "clients"
    file.write_text("# the national platform\nCN=sas.example.org,OU=1259999068\n\n  OU=b,CN=é,C=FR\n", encoding="utf-8")
    assert listed(f"@{file}") == {CLIENT, Client("é", "b")}
    file.write_text("# nobody\n", encoding="utf-8")
    with pytest.raises(ValueError, match="names no client"):
        listed(f"@{file}")
    file.write_bytes(b"CN=\xff,OU=b")
    with pytest.raises(ValueError, match="cannot be read"):
        listed(f"@{file}")
