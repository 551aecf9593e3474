"""Base paths of the SAS as a setting writes them."""

from __future__ import annotations

import pytest

from fhir_server.app import fhir_paths, sas_bases, sas_url
from fhir_server.france.sas.base import Actor, SasBase, Version, read_base
from fhir_server.settings import Settings, SettingsError


def test_path_alone_has_all_of_an_editors_actors_and_the_newest_guide() -> None:
    base = read_base("/sas")
    assert base == SasBase("/sas", Version.V1_2)
    assert base.actors == frozenset(Actor) - {Actor.RDV}


def test_options_of_a_path() -> None:
    text = "/hub/sos; guide=1.1.0;actors=sos+rdv;time=local;url=https://sas.example.org/sos/"
    actors = frozenset({Actor.SOS, Actor.RDV})
    assert read_base(text) == SasBase("/hub/sos", Version.V1_1, actors, True, "https://sas.example.org/sos")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("sas", "'sas' is not a path like /sas"),
        ("/sas/", "is not a path"),
        ("/sas//sos", "is not a path"),
        ("/sas?x", "is not a path"),
        ("/sas;guide=1.3.0", "'1.3.0' is no version of the guide that is served; served are 1.1.0, 1.2.0"),
        ("/sas;actors=sos+ptf", "'ptf' is no actor"),
        ("/sas;actors=", "'' is no actor"),
        ("/sas;time=utc", "neither time=written nor time=local"),
        ("/sas;url=sas.example.org", "not an http or https URL"),
        ("/sas;version=1.2.0", "'version=1.2.0' is none of guide=…"),
        ("/sas;guide", "'guide' is none of"),
        ("/sas;guide=1.1.0;guide=1.2.0", "guide stands twice for /sas"),
    ],
)
def test_base_that_cannot_be_is_told(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=told.replace("?", r"\?")):
        read_base(text)


def test_setting_that_no_base_can_be_read_from_stops_the_start() -> None:
    settings = Settings.read({"sas_paths": "/sas;guide=2.0.0"}, {})
    with pytest.raises(SettingsError, match=r"FHIR_SAS_PATHS: '2\.0\.0' is no version"):
        fhir_paths(settings, None)  # type: ignore[arg-type] # it is not come to


@pytest.mark.parametrize(
    ("flags", "url"),
    [
        ({}, "http://127.0.0.1:8080/sas"),
        ({"base_url": "https://cpts.example.org/fhir"}, "https://cpts.example.org/sas"),
        ({"base_url": "https://cpts.example.org/api"}, "https://cpts.example.org/api/sas"),
    ],
)
def test_url_of_a_path_stands_beside_the_ordinary_base(flags: dict[str, str], url: str) -> None:
    assert sas_url(Settings.read(flags, {}), "/sas") == url


def test_no_base_path_at_all_is_a_setting_that_other_processes_read_too() -> None:
    settings = Settings.read({"sas_paths": "off"}, {})
    assert settings.sas_paths == ()
    assert sas_bases(settings) == ()
    assert Settings.from_environment(settings.to_environment()).sas_paths == ()
