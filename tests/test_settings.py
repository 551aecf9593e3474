"""Settings: every impossible value is refused with one sentence that names it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.definitions.registry import DEFAULT_TYPES
from fhir_server.settings import SETTINGS, Settings, SettingsError, StartError

IMPOSSIBLE = [
    ("FHIR_STORE", "sqlite:", "the path of a file"),
    ("FHIR_STORE", "sqlite:data/", "data/ is a folder; give the path of a file in it: sqlite:data/cpts.sqlite"),
    ("FHIR_STORE", "sqlite:/", "/ is a folder"),
    ("FHIR_STORE", "sqlite::memory:", "cannot be shared"),
    ("FHIR_STORE", "mongodb://reader:secret@db.example.org", "names no database"),
    ("FHIR_STORE", "mongodb+srv://reader:secret@db.example.org/?w=1", "names no database"),
    ("FHIR_STORE", "mongodb://reader:secret@/cpts", "is not followed by //HOST/NAME"),
    ("FHIR_STORE", "mongodb:cpts", "is not followed by //HOST/NAME"),
    ("FHIR_STORE", "postgres://reader:secret@db.example.org/cpts", "neither with sqlite: nor with mongodb://"),
    ("FHIR_STORE", "data/cpts.sqlite", "neither with sqlite: nor with mongodb://"),
    ("FHIR_HOST", "http://127.0.0.1", "neither an address nor the name of a host"),
    ("FHIR_HOST", "0.0.0.0", "no access control yet"),  # noqa: S104 it is refused
    ("FHIR_HOST", "::", "no access control yet"),
    ("FHIR_HOST", "192.0.2.7", "no access control yet"),
    ("FHIR_HOST", "fhir.example.org", "no access control yet"),
    ("FHIR_PORT", "http", "from 0 to 65535"),
    ("FHIR_PORT", "65536", "from 0 to 65535"),
    ("FHIR_PORT", "-1", "from 0 to 65535"),
    ("FHIR_PORT", "80.5", "from 0 to 65535"),
    ("FHIR_WORKERS", "0", "from 1 to 64"),
    ("FHIR_PREPARERS", "65", "'65' is not a whole number from 0 to 64"),
    ("FHIR_DEMO", "perhaps", "neither on nor off"),
    ("FHIR_DEFINITIONS", "some", "neither on nor off"),
    ("FHIR_PACKAGES", "/no/such/folder", "'/no/such/folder' is not a folder"),
    ("FHIR_UNPROTECTED", "2", "neither on nor off"),
    ("FHIR_BASE_URL", "fhir.example.org/fhir", "not an http or https URL"),
    ("FHIR_BASE_URL", "ftp://fhir.example.org/fhir", "not an http or https URL"),
    ("FHIR_BASE_URL", "https://", "not an http or https URL"),
    ("FHIR_BASE_URL", "https://[::1/fhir", "not an http or https URL"),
    ("FHIR_BASE_URL", "https://fhir.example.org:99999/fhir", "not an http or https URL"),
    ("FHIR_BASE_URL", "https://fhir.example.org/fhir?a=b", "no user, query, fragment or space"),
    ("FHIR_BASE_URL", "https://user@fhir.example.org/fhir", "no user, query, fragment or space"),
    ("FHIR_BASE_URL", "https://fhir.example.org/fhir/Mont Blanc", "no user, query, fragment or space"),
    ("FHIR_BASE_URL", "https://a.example.org/fhir, nonsense", "'nonsense' is not an http or https URL"),
    ("FHIR_TRUSTED_PROXIES", "proxy.example.org", "neither an address nor a network"),
    ("FHIR_TRUSTED_PROXIES", "192.0.2.1/24", "neither an address nor a network"),
    ("FHIR_TLS_CERTIFICATE", "/no/such/file.pem", "'/no/such/file.pem' is not a file"),
    ("FHIR_TLS_KEY", "/no/such/file.pem", "'/no/such/file.pem' is not a file"),
    ("FHIR_TLS_KEY", __file__, "give FHIR_TLS_CERTIFICATE too"),
    ("FHIR_TLS_KEY_PASSWORD", "secret", "give FHIR_TLS_CERTIFICATE too"),
    ("FHIR_CLIENT_AUTHORITIES", "/no/such/file.pem", "'/no/such/file.pem' is not a file"),
    ("FHIR_CLIENT_AUTHORITIES", __file__, "needs TLS, and a list of those whom it lets in"),
    ("FHIR_CLIENT_CRLS", f"{__file__},none.crl", "'none.crl' is not a file"),
    ("FHIR_CLIENT_CRLS", __file__, "needs the authorities"),
    ("FHIR_CLIENTS", "sas.example.org", "'sas.example.org' is not the subject of a client"),
    ("FHIR_CLIENTS", "CN=sas.example.org", "'CN=sas.example.org' has not one CN and one OU"),
    ("FHIR_CLIENTS", "CN=a,CN=b,OU=c", "has not one CN and one OU"),
    ("FHIR_CLIENTS", ";", "names no client"),
    ("FHIR_CLIENTS", "@/no/such/list", "'/no/such/list' cannot be read as a list of clients"),
    ("FHIR_CLIENTS", "CN=sas.example.org,OU=1259999068", "lets nobody in"),
    ("FHIR_CLIENTS_EVERYWHERE", "sometimes", "neither on nor off"),
    ("FHIR_CLIENTS_EVERYWHERE", "on", "needs those whom it lets in"),
    ("FHIR_CLIENT_HEADER", "X Client", "'X Client' is not the name of a header"),
    ("FHIR_CLIENT_HEADER", "X-Client", "is read from trusted proxies"),
    ("FHIR_CLIENT_VERIFY_HEADER", "X-Verify:", "'X-Verify:' is not the name of a header"),
    ("FHIR_CLIENT_VERIFY_HEADER", "X-Verify", "give FHIR_CLIENT_HEADER too"),
    ("FHIR_CORS_ORIGINS", "app.example.org", "'app.example.org' is not an origin"),
    ("FHIR_CORS_ORIGINS", "https://app.example.org/path", "is not an origin"),
    ("FHIR_CORS_ORIGINS", "https://*.example.org", "is not an origin"),
    ("FHIR_CORS_ORIGINS", "null", "is not an origin"),
    ("FHIR_CORS_ORIGINS", "*,https://app.example.org", "it stands alone"),
    ("FHIR_ZONE", "Europe/Besançon", "not a time zone"),
    ("FHIR_ZONE", "Europe", "not a time zone"),
    ("FHIR_ZONE", "../../etc/passwd", "not a time zone"),
    ("FHIR_TYPES", "Slot,Shedule", "did you mean Schedule?"),
    ("FHIR_TYPES", "DomainResource", "not a resource type"),
    ("FHIR_TYPES", ",", "at least one resource type"),
    ("FHIR_SAS_PATHS", "sas", "'sas' is not a path like /sas"),
    ("FHIR_SAS_PATHS", "/fhir/sas", "/fhir/sas is taken by the server itself"),
    ("FHIR_SAS_PATHS", "/sas,/sas;guide=1.1.0", "/sas stands twice"),
    ("FHIR_SAS_LISTEN", "8443", "'8443' is not an address and a port"),
    ("FHIR_SAS_LISTEN", "::1:8443", "'::1:8443' is not an address and a port like 127.0.0.1:8443 or [::1]:8443"),
    ("FHIR_SAS_LISTEN", "127.0.0.1:https", "from 0 to 65535"),
    ("FHIR_SAS_LISTEN", "127.0.0.1:8080", "port 8080 is that of FHIR_PORT"),
    ("FHIR_SAS_LISTEN", "0.0.0.0:8443", "can be reached from other machines; demand certificates"),
    ("FHIR_SAS_TLS_CERTIFICATE", __file__, "give FHIR_SAS_LISTEN too"),
    ("FHIR_SAS_TLS_KEY", __file__, "give FHIR_SAS_TLS_CERTIFICATE too"),
    ("FHIR_SAS_RDV", "platform", "neither on nor off"),
    ("FHIR_SAS_RESULTS", "0", "from 1 to 100000"),
    ("FHIR_SAS_IDENTIFIERS", "0", "from 1 to 1000"),
    ("FHIR_UPDATE_CREATE", "never", "neither on nor off"),
    ("FHIR_INTEGRITY", "on", "'on' is not one of off, warn, enforce"),
    ("FHIR_UNKNOWN_CODES", "ignore", "'ignore' is not one of warn, refuse"),
    ("FHIR_PRODUCTION", "maybe", "neither on nor off"),
    ("FHIR_CHECK_DIGITS", "ignore", "one of warn, refuse"),
    ("FHIR_UNIQUE_IDENTIFIERS", "maybe", "neither on nor off"),
    ("FHIR_BOOKING", "sometimes", "neither on nor off"),
    ("FHIR_PARALLEL_SLOTS", "sometimes", "neither on nor off"),
    ("FHIR_ACTOR_OVERLAP", "forbid", "'forbid' is not one of off, warn, refuse"),
    ("FHIR_PROFILES", "Practicien=https://example.org/Profile", "did you mean Practitioner?"),
    ("FHIR_PROFILES", "https://example.org/Profile,named", "'named' is neither a canonical URL"),
    ("FHIR_CLAIMED_PROFILES", "refuse", "'refuse' is not one of ignore, note, warn, enforce"),
    ("FHIR_PAGE_DEFAULT", "0", "from 1 to"),
    ("FHIR_PAGE_DEFAULT", "1001", "more than FHIR_PAGE_MAXIMUM, 1000"),
    ("FHIR_PAGE_MAXIMUM", "many", "not a whole number"),
    ("FHIR_PAGE_MAXIMUM", "10", "more than FHIR_PAGE_MAXIMUM, 10"),
    ("FHIR_INCLUDES", "0", "from 1 to"),
    ("FHIR_BUNDLE_ENTRIES", "0", "from 1 to"),
    ("FHIR_DELETE_MATCHES", "0", "from 1 to"),
    ("FHIR_BODY_BYTES", "20 MB", "not a whole number of bytes"),
    ("FHIR_RESOURCE_BYTES", "2 MB", "not a whole number of bytes"),
    ("FHIR_ANSWER_BYTES", "0", "not a whole number of bytes"),
    ("FHIR_HEADER_BYTES", "10", "not a whole number of bytes"),
    ("FHIR_COMMIT_BYTES", "16000000", "not a whole number of bytes"),
    ("FHIR_QUERY_SECONDS", "0", "not a number of seconds"),
    ("FHIR_QUERY_SECONDS", "nan", "not a number of seconds"),
    ("FHIR_COUNT_SECONDS", "-1", "not a number of seconds"),
    ("FHIR_OPERATION_WAIT_SECONDS", "-1", "not a number of seconds"),
    ("FHIR_DRAIN_SECONDS", "soon", "not a whole number"),
    ("FHIR_LOG_LEVEL", "verbose", "not one of debug, info, warning, error"),
    ("FHIR_LOG_FORMAT", "xml", "not one of auto, json, text"),
]


@pytest.mark.parametrize(("variable", "text", "reason"), IMPOSSIBLE)
def test_impossible_value_is_refused_with_one_sentence(variable: str, text: str, reason: str) -> None:
    with pytest.raises(SettingsError) as refused:
        Settings.from_environment({variable: text})
    sentence = str(refused.value)
    assert sentence.startswith("FHIR_")
    assert variable in sentence
    assert reason in sentence
    assert sentence.endswith((".", "?"))
    assert "\n" not in sentence


def test_each_setting_has_an_impossible_value_in_the_table() -> None:
    assert {variable for variable, _, _ in IMPOSSIBLE} == {setting.variable for setting in SETTINGS}


@pytest.mark.parametrize("text", [text for _, text, _ in IMPOSSIBLE if "secret" in text])
def test_refusal_of_a_store_never_tells_its_password(text: str) -> None:
    with pytest.raises(SettingsError) as refused:
        Settings.from_environment({"FHIR_STORE": text})
    assert "secret" not in str(refused.value)


def test_refusal_names_the_flag_when_a_flag_was_given() -> None:
    with pytest.raises(SettingsError, match=r"^--page-maximum: 'x' is not a whole number"):
        Settings.read({"page_maximum": "x"}, {})


@pytest.mark.parametrize(
    ("flags", "variables", "sentence"),
    [
        ({"page_default": "2000"}, {}, "--page-default: 2000 is more than FHIR_PAGE_MAXIMUM, 1000."),
        ({"page_maximum": "10"}, {"FHIR_PAGE_DEFAULT": "20"}, "FHIR_PAGE_DEFAULT: 20 is more than --page-maximum, 10."),
        ({"host": "192.0.2.7"}, {}, "--host: 192.0.2.7 can be reached from other machines"),
    ],
)
def test_contradiction_names_each_setting_as_it_was_given(
    flags: dict[str, str], variables: dict[str, str], sentence: str
) -> None:
    with pytest.raises(SettingsError) as refused:
        Settings.read(flags, variables)
    assert str(refused.value).startswith(sentence)


def test_unknown_variable_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(SettingsError, match=r"^FHIR_PROT is not a setting of this server; did you mean FHIR_PORT\?$"):
        Settings.from_environment({"FHIR_PROT": "8080", "PATH": "/bin"})


def test_unknown_variable_without_a_near_name_is_refused_with_the_way_to_the_list() -> None:
    with pytest.raises(SettingsError, match=r"^FHIR_ZZZZZZ is not a setting of this server; fhir-server serve --help"):
        Settings.from_environment({"FHIR_ZZZZZZ": "1"})


def test_variables_of_the_test_suite_stop_no_start() -> None:
    environment = {"FHIR_TEST_MONGODB_URI": "mongodb://localhost", "FHIR_TORTURE": "full"}
    assert Settings.from_environment(environment) == Settings()


def test_defaults_are_the_ones_of_the_table() -> None:
    settings = Settings.from_environment({})
    assert settings == Settings()
    assert all(getattr(settings, setting.name) == setting.default for setting in SETTINGS)
    assert set(settings.types) == DEFAULT_TYPES


def test_default_of_each_setting_reads_back() -> None:
    for setting in SETTINGS:
        if setting.default_text:
            assert setting.read(setting.default_text) == setting.default


def test_flag_goes_before_variable_and_variable_before_default() -> None:
    settings = Settings.read({"port": "9001"}, {"FHIR_PORT": "9002", "FHIR_WORKERS": "3"})
    assert (settings.port, settings.workers, settings.page_default) == (9001, 3, 50)


def test_empty_variable_counts_as_absent() -> None:
    assert Settings.from_environment({"FHIR_PORT": ""}).port == 8080


@pytest.mark.parametrize(("text", "value"), [("on", True), ("TRUE", True), ("1", True), ("off", False), ("no", False)])
def test_switch_is_read_in_its_usual_spellings(text: str, value: bool) -> None:
    assert Settings.from_environment({"FHIR_DEMO": text}).demo is value


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "[::1]", "localhost", "LOCALHOST"])
def test_loopback_host_needs_no_protection(host: str) -> None:
    assert Settings.from_environment({"FHIR_HOST": host}).is_loopback


GUARDED = {
    "sas_listen": "192.0.2.7:8443",
    "sas_tls_certificate": __file__,
    "client_authorities": __file__,
    "clients": "CN=sas.example.org,OU=1259999068",
}


def test_listener_of_the_sas_may_be_reached_where_it_demands_certificates() -> None:
    settings = Settings.read(GUARDED, {})
    assert settings.is_sas_controlled
    assert (settings.origin, settings.sas_origin) == ("http://127.0.0.1:8080", "https://192.0.2.7:8443")
    for name in ("sas_tls_certificate", "client_authorities", "clients"):
        with pytest.raises(SettingsError):
            Settings.read({key: text for key, text in GUARDED.items() if key != name}, {})
    with pytest.raises(SettingsError, match=r"^--host: 192\.0\.2\.7 can be reached"):
        Settings.read({**GUARDED, "host": "192.0.2.7"}, {})


def test_password_of_a_key_is_a_variable_only_and_is_not_shown() -> None:
    [setting] = [setting for setting in SETTINGS if setting.name == "tls_key_password"]
    assert setting.flag == ""
    variables = {"FHIR_TLS_KEY_PASSWORD": "secret", "FHIR_TLS_CERTIFICATE": __file__}
    settings = Settings.from_environment(variables)
    assert settings.tls_key_password == "secret"  # noqa: S105 as above
    assert "secret" not in repr(settings)
    assert Settings.from_environment(settings.to_environment()) == settings


def test_tls_is_said_in_the_base_url() -> None:
    settings = Settings(tls_certificate=__file__, port=9000)
    assert settings.bases == ("https://127.0.0.1:9000/fhir", "https://localhost:9000/fhir")
    assert Settings(port=9000, sas_listen="[::1]:8443").sas_origin == "http://[::1]:8443"


def test_outside_host_is_allowed_when_asked_for() -> None:
    settings = Settings.read({"host": "0.0.0.0", "unprotected": "on"}, {})  # noqa: S104 read, not bound
    assert not settings.is_loopback


def test_base_url_comes_from_host_and_port() -> None:
    settings = Settings(port=9000)
    assert settings.bases == ("http://127.0.0.1:9000/fhir", "http://localhost:9000/fhir")
    assert Settings(host="::1", port=9000).bases[0] == "http://[::1]:9000/fhir"
    assert Settings(host="::", unprotected=True, port=9000).bases[0] == "http://[::1]:9000/fhir"


def test_base_urls_of_a_proxy_are_all_ours_and_lose_their_final_slash() -> None:
    settings = Settings.from_environment({"FHIR_BASE_URL": "https://fhir.example.org/r4/, http://intern.example.org"})
    assert settings.bases == ("https://fhir.example.org/r4", "http://intern.example.org")


def test_origins_are_written_as_browsers_send_them() -> None:
    text = "HTTPS://App.example.org:443/, http://localhost:3000,https://app.example.org, capacitor://localhost"
    settings = Settings.from_environment({"FHIR_CORS_ORIGINS": text})
    assert settings.cors_origins == ("https://app.example.org", "http://localhost:3000", "capacitor://localhost")


def test_trusted_proxies_are_addresses_and_networks() -> None:
    settings = Settings.from_environment({"FHIR_TRUSTED_PROXIES": "127.0.0.1, 10.0.0.0/8,2001:DB8::/32"})
    assert settings.trusted_proxies == ("127.0.0.1", "10.0.0.0/8", "2001:db8::/32")


def test_store_path_is_what_follows_the_scheme() -> None:
    assert Settings.from_environment({"FHIR_STORE": "sqlite:/srv/cpts.sqlite"}).sqlite_path == Path("/srv/cpts.sqlite")


def test_settings_error_is_a_start_error() -> None:
    assert issubclass(SettingsError, StartError)


@given(
    st.builds(
        Settings,
        port=st.integers(0, 65535),
        workers=st.integers(1, 64),
        demo=st.booleans(),
        update_create=st.booleans(),
        page_default=st.integers(1, 1000),
        query_seconds=st.floats(0.01, 3600).map(lambda seconds: round(seconds, 3)),
        base_url=st.lists(st.sampled_from(["https://a.example.org/fhir", "http://b.example.org"]), unique=True).map(
            tuple
        ),
        trusted_proxies=st.sampled_from([(), ("127.0.0.1", "10.0.0.0/8")]),
        cors_origins=st.sampled_from([(), ("*",), ("https://app.example.org", "http://localhost:3000")]),
        types=st.lists(st.sampled_from(sorted(DEFAULT_TYPES)), min_size=1, unique=True).map(
            lambda types: tuple(sorted(types))
        ),
        log_level=st.sampled_from(["debug", "error"]),
    )
)
def test_another_process_reads_the_very_same_settings(settings: Settings) -> None:
    assert Settings.from_environment(settings.to_environment()) == settings


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("sqlite:/srv/cpts.sqlite", "sqlite:/srv/cpts.sqlite"),
        ("mongodb://db.example.org/cpts", "mongodb://db.example.org/cpts"),
        ("mongodb://reader:se%40cret@a:27017,b/cpts?authSource=x", "mongodb://a:27017,b/cpts"),
        ("mongodb+srv://reader:secret@db.example.org/cpts", "mongodb+srv://db.example.org/cpts"),
    ],
)
def test_a_store_is_shown_without_its_password(text: str, shown: str) -> None:
    settings = Settings.from_environment({"FHIR_STORE": text})
    assert settings.store == text
    assert settings.store_shown == shown
    assert settings.is_mongodb == text.startswith("mongodb")
