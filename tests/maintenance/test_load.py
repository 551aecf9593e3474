"""load: by the rules that clients have, a line for each refusal, and a second run does no harm."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from dataclasses import replace
from typing import Any, TypeVar

import pytest

from fhir_server.interactions.exchange import Request, Response
from fhir_server.maintenance import load
from fhir_server.maintenance.around import Around
from fhir_server.maintenance.documents import sources
from fhir_server.maintenance.patience import patiently
from fhir_server.maintenance.progress import CommandFailed
from fhir_server.service import Service
from fhir_server.storage.protocol import Committed, Plan, Store, StoreFull, StoreUnavailable
from tests.maintenance.conftest import Place, bodies, delete, get, loaded, organization, put, total, whole_log
from tests.scheduling.worlds import appointment as booked
from tests.scheduling.worlds import seen, slot

T = TypeVar("T")
SURNAME = "Grandjean-Secret"
WHOLE = {"reference": "Organization/whole"}


def bundle(type_: str, *entries: Any) -> dict[str, Any]:
    return {"resourceType": "Bundle", "type": type_, "entry": list(entries)}


def posted(resource: dict[str, Any], full_url: str | None = None) -> dict[str, Any]:
    entry = {"resource": resource, "request": {"method": "POST", "url": resource["resourceType"]}}
    return entry if full_url is None else {**entry, "fullUrl": full_url}


async def test_files_of_every_kind_are_loaded_from_folders_at_any_depth(place: Place) -> None:
    place.write("in/a.json", organization("A", "a"))
    place.write("in/deep/er/b.ndjson", [organization("B", "b"), organization("C", "c")])
    place.write("in/d.json.gz", gzip.compress(json.dumps(organization("D", "d")).encode()))
    place.write("in/e.NDJSON.GZ", gzip.compress(json.dumps(organization("E", "e")).encode() + b"\r\n\r\n"))
    place.write("in/notes.txt", "not loaded")
    place.write("in/.hidden/f.json", organization("F", "f"))
    async with place.open() as service:
        run = await loaded(service, place.folder / "in")
        assert (run.counts, run.refusals) == ((5, 0, 0, 0), [])
        assert set(await bodies(service)) == {f"Organization/{id_}" for id_ in "abcde"}
    assert sources([place.folder / "in"]).skipped == 1


@pytest.mark.parametrize(
    ("name", "sentence"), [("none.json", "There is no "), ("notes.txt", "its name ends in none of .json")]
)
def test_path_that_cannot_be_loaded_is_refused_before_anything_is(name: str, sentence: str, place: Place) -> None:
    place.write("notes.txt", "")
    with pytest.raises(CommandFailed, match=sentence):
        sources([place.folder / name])


async def test_numbers_keep_their_text(place: Place) -> None:
    file = place.write(
        "location.ndjson",
        '{"resourceType":"Location","id":"l","position":{"longitude":6.0300,"latitude":47.2500}}\n',
    )
    async with place.open() as service:
        await loaded(service, file)
        [commit] = await whole_log(service)
        assert commit.changes[0].body is not None
        assert b'{"longitude":6.0300,"latitude":47.2500}' in commit.changes[0].body


async def test_second_run_changes_nothing(place: Place) -> None:
    files = [
        place.write("ids.ndjson", [organization("A", "a"), organization("B", "b")]),
        place.write("no-ids.ndjson", [organization("C"), organization("D"), organization("C")]),
        place.write("transaction.json", bundle("transaction", posted(organization("E")), posted(organization("E")))),
        place.write("batch.json", bundle("batch", posted(organization("F")))),
    ]
    async with place.open() as service:
        assert (await loaded(service, *files)).counts == (7, 0, 1, 0)
        before = await whole_log(service)
        assert (await loaded(service, *files)).counts == (0, 0, 8, 0)
        assert await whole_log(service) == before


async def test_what_was_changed_meanwhile_is_kept_where_its_id_came_from_its_content(place: Place) -> None:
    file = place.write("no-ids.ndjson", [organization("A")])
    async with place.open() as service:
        await loaded(service, file)
        [entry] = (await get(service, "Organization"))["entry"]
        await put(service, {**entry["resource"], "name": "changed"})
        assert (await loaded(service, file)).counts == (0, 0, 1, 0)
        assert (await get(service, f"Organization/{entry['resource']['id']}"))["name"] == "changed"


async def test_of_two_lines_of_one_resource_the_later_counts(place: Place) -> None:
    file = place.write("a.ndjson", [organization(f"A{number}", "a") for number in range(5)])
    async with place.open() as service:
        assert (await loaded(service, file)).counts == (1, 4, 0, 0)
        assert (await get(service, "Organization/a"))["name"] == "A4"


async def test_what_was_deleted_is_loaded_again(place: Place) -> None:
    file = place.write("a.ndjson", [organization("A", "a")])
    async with place.open() as service:
        await loaded(service, file)
        await delete(service, "Organization/a")
        assert (await loaded(service, file)).counts == (1, 0, 0, 0)
        assert (await get(service, "Organization/a"))["meta"]["versionId"] == "3"


async def test_many_lines_are_few_commits(place: Place) -> None:
    file = place.write("a.ndjson", [organization(f"A{number}", f"a{number}") for number in range(600)])
    async with place.open() as service:
        assert (await loaded(service, file)).counts == (600, 0, 0, 0)
        assert len(await whole_log(service)) <= 20


# --- refusals --------------------------------------------------------------------------------------------------------


async def test_each_refused_line_is_named_with_its_number_and_reason(place: Place) -> None:
    file = place.write(
        "mixed.ndjson",
        "\n".join(
            [
                json.dumps(organization("A", "a")),
                "",
                "{broken",
                "[]",
                json.dumps({"name": SURNAME}),
                json.dumps({"resourceType": "Patient", "id": "p", "name": [{"family": SURNAME}], "birthDate": SURNAME}),
                json.dumps({"resourceType": "Observation", "id": "o"}),
                json.dumps({"resourceType": SURNAME + "?", "id": "o"}),
                json.dumps(organization("B", "not an id")),
                json.dumps(organization("C") | {"id": 7}),
                json.dumps({"resourceType": "Patient", "contact": [{"gender": "male"}]}),
                json.dumps(organization("D", "d")),
            ]
        ),
    )
    async with place.open() as service:
        run = await loaded(service, file)
        assert run.counts == (2, 0, 0, 9)
        assert set(await bodies(service)) == {"Organization/a", "Organization/d"}
    assert {refusal.place for refusal in run.refusals} == {f"{file}:{number}" for number in range(3, 12)}
    issues = {refusal.place.rpartition(":")[2]: refusal.issues for refusal in run.refusals}
    ids = {line: own[0].id for line, own in issues.items()}
    assert (ids["3"], ids["4"], ids["5"]) == ("json-syntax", "body-not-object", "resource-type-missing")
    assert (ids["7"], ids["8"], ids["9"]) == ("type-not-served", "type-unknown", "format-id")
    assert any("Patient.birthDate" in issue.expression for issue in issues["6"])
    assert any("pat-1" in (issue.id or "") for issue in issues["11"])  # a rule of FHIR: 422
    assert SURNAME not in repr(run.refusals)


async def test_line_beyond_the_limit_is_passed_without_being_read_whole(place: Place) -> None:
    file = place.write("a.ndjson", [organization("A", "a"), organization("x" * 5_000), organization("B", "b")])
    whole = place.write("whole.json", organization("y" * 5_000))
    async with place.open(body_bytes=1_000) as service:
        run = await loaded(service, file, whole)
        assert run.counts == (2, 0, 0, 2)
    assert [refusal.place for refusal in run.refusals] == [f"{file}:2", str(whole)]
    assert "more than 1000 bytes" in run.refusals[0].issues[0].diagnostics


async def test_bundle_and_commit_beyond_the_limits_are_refused_with_both_figures(place: Place) -> None:
    many = place.write("many.json", bundle("transaction", *(posted(organization(f"A{n}")) for n in range(4))))
    large = place.write("large.json", organization("z" * 200_000, "z"))
    async with place.open(bundle_entries=3, commit_bytes=100_000) as service:
        run = await loaded(service, many, large)
        assert run.counts == (0, 0, 0, 5)
        assert await whole_log(service) == []
    told = [refusal.issues[0].diagnostics for refusal in run.refusals]
    assert "4 entries; the limit is 3" in told[0]
    assert "the limit is 100000" in told[1]


async def test_compressed_file_that_is_cut_loads_what_it_has_and_is_refused(place: Place) -> None:
    lines = b"".join(json.dumps(organization(f"A{n} " + "é" * n, f"a{n}")).encode() + b"\n" for n in range(200))
    whole = gzip.compress(lines, mtime=0)
    cut = place.write("cut.ndjson.gz", whole[: len(whole) // 2])
    wrong = place.write("wrong.json.gz", b"not gzip")
    after = place.write("z.json", organization("Z", "z"))
    async with place.open() as service:
        run = await loaded(service, cut, wrong, after)
        assert run.counts[3] == 2
        assert await total(service, "Organization") > 1
        assert (await get(service, "Organization/z"))["name"] == "Z"
    assert [refusal.place for refusal in run.refusals][-1] == str(wrong)
    assert "cut or damaged" in run.refusals[0].issues[0].diagnostics


async def test_rehearsal_finds_the_same_refusals_and_stores_nothing(place: Place) -> None:
    files = [
        place.write(
            "a.ndjson", [organization("A", "a"), organization("B"), {"resourceType": "Patient", "gender": "x"}]
        ),
        place.write("t.json", bundle("transaction", posted(organization("T")))),
    ]
    async with place.open() as service:
        run = await loaded(service, *files, dry_run=True)
        assert run.counts == (3, 0, 0, 1)
        assert await whole_log(service) == []
        assert (await loaded(service, *files)).refusals == run.refusals


class Failing(Around):
    """A store whose disk is full, or that is busy, after some commits."""

    def __init__(self, store: Store, error: Exception, commits: int) -> None:
        super().__init__(store)
        self.error, self.commits = error, commits

    async def commit(self, plan: Plan[T]) -> Committed[T]:
        self.commits -= 1
        if self.commits < 0:
            raise self.error
        return await super().commit(plan)


@pytest.mark.parametrize(
    ("error", "sentence"),
    [(StoreFull("full"), "The disk is full"), (StoreUnavailable("busy"), "The store cannot be written now")],
)
async def test_store_that_cannot_go_on_ends_the_load_with_one_sentence_and_a_second_run_goes_on(
    error: Exception, sentence: str, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fhir_server.maintenance.patience.PATIENCE", (0.0, 0.0))
    file = place.write("a.ndjson", [organization(f"A{number}", f"a{number}") for number in range(900)])
    async with place.open() as service:
        failing = Service(replace(service.context, store=Failing(service.context.store, error, 300)))
        with pytest.raises(CommandFailed, match=sentence):
            await loaded(failing, file)
        found = await total(service, "Organization")
        assert 0 < found <= 300
        assert (await loaded(service, file)).counts == (900 - found, 0, found, 0)


async def test_store_that_is_busy_for_a_moment_is_asked_again(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fhir_server.maintenance.patience.PATIENCE", (0.0, 0.0, 0.0))

    class Busy(Around):
        asked = 0

        async def commit(self, plan: Plan[T]) -> Committed[T]:
            self.asked += 1
            if self.asked % 3:
                raise StoreUnavailable("busy")
            return await super().commit(plan)

    file = place.write("a.ndjson", [organization("A", "a")])
    async with place.open() as service:
        busy = Service(replace(service.context, store=Busy(service.context.store)))
        assert (await loaded(busy, file)).counts == (1, 0, 0, 0)


# --- Bundles ---------------------------------------------------------------------------------------------------------


async def test_resources_of_a_collection_are_linked_by_their_full_urls(place: Place) -> None:
    entries = [
        {"fullUrl": "urn:uuid:1", "resource": organization("Parent")},
        {"fullUrl": "urn:uuid:2", "resource": organization("Child", partOf={"reference": "urn:uuid:1"})},
        {
            "fullUrl": "https://elsewhere.example/fhir/Organization/o",
            "resource": organization("O", "o", partOf={"reference": "urn:uuid:2"}),
        },
        {"resource": organization("P", "p", partOf={"reference": "https://elsewhere.example/fhir/Organization/o"})},
        {"search": {"mode": "outcome"}, "resource": {"resourceType": "OperationOutcome", "issue": []}},
        {"resource": {"name": "of no type"}},
    ]
    file = place.write("collection.json", bundle("searchset", *entries))
    async with place.open() as service:
        run = await loaded(service, file)
        assert (run.counts, [refusal.place for refusal in run.refusals]) == ((4, 0, 0, 1), [f"{file}#entry[5]"])
        found = await get(service, "Organization")
        by_name = {entry["resource"]["name"]: entry["resource"] for entry in found["entry"]}
        assert by_name["Child"]["partOf"]["reference"] == f"Organization/{by_name['Parent']['id']}"
        assert by_name["O"]["partOf"]["reference"] == f"Organization/{by_name['Child']['id']}"
        assert by_name["P"]["partOf"]["reference"] == "Organization/o"
        assert (await loaded(service, file)).counts == (0, 0, 4, 1)


async def test_transaction_is_posted_whole_with_its_links_and_once(place: Place) -> None:
    file = place.write(
        "t.ndjson",
        [
            bundle(
                "transaction",
                posted(organization("Parent"), "urn:uuid:1"),
                posted(organization("Child", partOf={"reference": "urn:uuid:1"})),
                {"resource": organization("Own", "own"), "request": {"method": "PUT", "url": "Organization/own"}},
            )
        ],
    )
    async with place.open() as service:
        assert (await loaded(service, file)).counts == (3, 0, 0, 0)
        assert len(await whole_log(service)) == 1
        assert (await get(service, "Organization", "partof:Organization.name=Parent"))["total"] == 1
        assert (await loaded(service, file)).counts == (0, 0, 3, 0)


async def test_refused_transaction_names_the_entry_and_stores_nothing(place: Place) -> None:
    wrong = {"resourceType": "Patient", "birthDate": SURNAME}
    file = place.write("t.json", bundle("transaction", posted(organization("A")), posted(wrong)))
    async with place.open() as service:
        run = await loaded(service, file)
        assert run.counts == (0, 0, 0, 2)
        assert [refusal.place for refusal in run.refusals] == [f"{file}#entry[1]"]
        assert await whole_log(service) == []
    assert SURNAME not in repr(run.refusals)


async def test_entries_of_a_batch_fail_alone_and_the_rest_is_not_repeated(place: Place) -> None:
    wrong = {"resourceType": "Patient", "gender": "x"}
    wishes = (posted(organization("A")), posted(wrong), {"request": {"method": "GET", "url": "Organization/none"}})
    file = place.write("b.json", bundle("batch", *wishes))
    async with place.open() as service:
        run = await loaded(service, file)
        assert run.counts == (1, 0, 0, 2)
        assert [refusal.place for refusal in run.refusals] == [f"{file}#entry[1]", f"{file}#entry[2]"]
        run = await loaded(service, file)
        assert run.counts == (0, 0, 1, 2)
        assert [refusal.place for refusal in run.refusals] == [f"{file}#entry[1]", f"{file}#entry[2]"]
        assert await total(service, "Organization") == 1


@pytest.mark.parametrize("type_", ["history", "batch-response", "transaction-response"])
async def test_answers_of_a_server_are_not_loaded(type_: str, place: Place) -> None:
    file = place.write("h.json", bundle(type_, {"resource": organization("A", "a")}))
    async with place.open() as service:
        run = await loaded(service, file)
        assert (run.counts, run.refusals[0].issues[0].id) == ((0, 0, 0, 1), "bundle-type")


@pytest.mark.parametrize("type_", ["collection", "transaction", "batch"])
@pytest.mark.parametrize("entry", [{}, "x", [7], [{"request": 1}], [{"resource": {"resourceType": "Organization"}}]])
async def test_misshapen_bundles_are_refused_or_hold_nothing(type_: str, entry: object, place: Place) -> None:
    file = place.write("b.json", {"resourceType": "Bundle", "type": type_, "entry": entry})
    async with place.open() as service:
        run = await loaded(service, file)
        assert run.counts[0] == 0
        assert await whole_log(service) == []


# --- references that are enforced ------------------------------------------------------------------------------------


def appointment(id_: str, patient: str) -> dict[str, Any]:
    participant = {"actor": {"reference": f"Patient/{patient}"}, "status": "accepted"}
    return {"resourceType": "Appointment", "id": id_, "status": "proposed", "participant": [participant]}


def patient(id_: str, **more: Any) -> dict[str, Any]:
    return {"resourceType": "Patient", "id": id_, **more}


async def test_files_in_alphabetical_order_are_loaded_although_references_lead_to_later_ones(place: Place) -> None:
    place.write("in/Appointment.ndjson", [appointment(f"a{n}", f"p{n}") for n in range(300)])
    place.write("in/Organization.ndjson", [organization("part", "part", partOf={"reference": "Organization/whole"})])
    place.write("in/Patient.ndjson", [patient(f"p{n}", managingOrganization=WHOLE) for n in range(300)])
    place.write("in/z.ndjson", [organization("whole", "whole")])
    async with place.open(integrity="enforce") as service:
        rehearsed = await loaded(service, place.folder / "in", dry_run=True)
        assert (rehearsed.counts, rehearsed.refusals) == ((602, 0, 0, 0), [])
        assert await whole_log(service) == []
        run = await loaded(service, place.folder / "in")
        assert (run.counts, run.refusals) == ((602, 0, 0, 0), [])
        assert (await loaded(service, place.folder / "in")).counts == (0, 0, 602, 0)


async def test_appointments_wait_for_their_slots_and_take_them(place: Place) -> None:
    place.write("in/Appointment.ndjson", [booked("x", "a"), booked("y", "b"), booked("z", "absent")])
    place.write("in/Slot.ndjson", [slot("a"), slot("b", "10:00", "10:30", "busy", booked=True)])
    async with place.open() as service:
        for dry_run in (True, False):
            run = await loaded(service, place.folder / "in", dry_run=dry_run)
            assert [refusal.issues[0].id for refusal in run.refusals] == ["slot-missing"]
            assert run.counts == (4, 0, 0, 1)
        assert [seen(await get(service, f"Slot/{id_}")) for id_ in "ab"] == ["busy*", "busy*"]


async def test_reference_that_leads_nowhere_is_one_line_whatever_waits_beside_it(place: Place) -> None:
    lines = [appointment("wrong", "none"), appointment("right", "p"), patient("p")]
    file = place.write("a.ndjson", lines)
    async with place.open(integrity="enforce") as service:
        for dry_run in (True, False):
            run = await loaded(service, file, dry_run=dry_run)
            assert run.counts == (2, 0, 0, 1)
            [refusal] = run.refusals
            assert (refusal.place, refusal.issues[0].id) == (f"{file}:1", "reference-missing")
        assert set(await bodies(service)) == {"Appointment/right", "Patient/p"}


async def test_resources_that_refer_to_each_other_are_written_together(place: Place) -> None:
    def endpoint(id_: str, of: str) -> dict[str, Any]:
        made = {"resourceType": "Endpoint", "id": id_, "status": "active", "address": "https://example.org"}
        kind = {"connectionType": {"code": "hl7-fhir-rest"}, "payloadType": [{"text": "any"}]}
        return made | kind | {"managingOrganization": {"reference": f"Organization/{of}"}}

    place.write("in/Endpoint.ndjson", [endpoint("e1", "o"), endpoint("e2", "o"), endpoint("lost", "nowhere")])
    place.write("in/Organization.ndjson", [organization("O", "o", endpoint=[{"reference": "Endpoint/e1"}])])
    place.write("in/Patient.ndjson", [patient("p", managingOrganization={"reference": "Organization/o"})])
    async with place.open(integrity="enforce") as service:
        for dry_run in (True, False):
            run = await loaded(service, place.folder / "in", dry_run=dry_run)
            assert run.counts == (4, 0, 0, 1)
        assert set(await bodies(service)) == {"Endpoint/e1", "Endpoint/e2", "Organization/o", "Patient/p"}


async def test_long_chain_in_reverse_order_is_loaded(place: Place) -> None:
    chain = [organization(f"O{n}", f"o{n}", partOf={"reference": f"Organization/o{n + 1}"}) for n in range(300)]
    file = place.write("a.ndjson", [*chain, organization("end", "o300")])
    async with place.open(integrity="enforce") as service:
        assert (await loaded(service, file)).counts == (301, 0, 0, 0)


async def test_each_line_of_a_chain_is_tried_twice_at_most_in_whatever_order(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = Counter[str]()

    async def counted(service: Service, request: Request) -> Response:
        tried[request.path] += 1
        return await patiently(service, request)

    monkeypatch.setattr(load, "patiently", counted)
    chain = [organization(f"O{n}", f"o{n}", partOf={"reference": f"Organization/o{n + 1}"}) for n in range(40)]
    lines = [*chain[::3], *chain[1::3], organization("end", "o40"), *chain[2::3]]
    async with place.open(integrity="enforce") as service:
        assert (await loaded(service, place.write("a.ndjson", lines))).counts == (41, 0, 0, 0)
    assert max(tried.values()) <= 2


async def test_bundles_wait_for_their_references_too(place: Place) -> None:
    wrong = posted({"resourceType": "Patient", "gender": "x"})
    first = posted(patient("p", managingOrganization=WHOLE))
    parts = [posted(organization("A", partOf=WHOLE)), posted(organization("B"))]
    files = [
        place.write("a.json", bundle("transaction", *parts)),
        place.write("b.json", bundle("batch", first, wrong, posted(organization("C")))),
        place.write("c.json", organization("whole", "whole")),
    ]
    async with place.open(integrity="enforce") as service:
        for dry_run in (True, False):
            assert (await loaded(service, *files, dry_run=dry_run)).counts == (5, 0, 0, 1)
        assert (await loaded(service, *files)).counts == (0, 0, 5, 1)


async def test_of_two_lines_of_one_resource_the_later_counts_also_if_the_first_has_to_wait(place: Place) -> None:
    file = place.write(
        "a.ndjson",
        [organization("first", "o", partOf=WHOLE), *(patient(f"p{n}") for n in range(300)), organization("last", "o")],
    )
    after = place.write("b.json", organization("whole", "whole"))
    async with place.open(integrity="enforce") as service:
        run = await loaded(service, file, after)
        assert (run.counts, run.refusals) == ((302, 0, 1, 0), [])
        assert (await get(service, "Organization/o"))["name"] == "last"
