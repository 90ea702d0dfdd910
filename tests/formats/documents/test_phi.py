"""The gate: what names people is gone, offsets move along, what may be left does not pass."""

import datetime
import json
import re
from pathlib import Path
from typing import Any

import pytest

from medray.errors import DataError, SpecError
from medray.formats.base import Source
from medray.formats.documents.columns import Document, Span
from medray.formats.documents.notes import Notes
from medray.formats.documents.phi.gate import Gate
from medray.formats.documents.phi.options import Phi
from medray.formats.signal.deidentify import Pseudonyms


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDRAY_DEID_KEY", "k" * 32)


def passed(text: str, spans: list[Span] | None = None, **options: Any) -> Document:
    return Gate(Phi.model_validate(options)).passed(Document("d", text, "patient-7", None, spans))


@pytest.mark.parametrize(
    ("text", "gone"),
    [
        ("Seen by Dr. Zabrinski today.", ["Zabrinski"]),
        ("Mr. X. Quodling came.", ["Quodling"]),
        ("Patient name: Xi Quodling", ["Quodling", "Xi"]),
        ("Quodling Vree, M.D.", ["Quodling", "Vree"]),
        ("Angela Quodling left. Quodling returned.", ["Angela", "Quodling"]),
        ("SMITH came; smith spoke to Garcia's son.", ["SMITH", "Garcia"]),
        ("MRN: 00123-A4 admitted", ["00123"]),
        ("medical record number is 4471", ["4471"]),
        ("call (617) 555-0142 x12", ["555", "0142"]),
        ("tel 030 1234567", ["1234567"]),
        ("Fax: 617-555-0143", ["0143"]),
        ("+49 30 901820 now", ["901820"]),
        ("mail j.doe+x@site.example.org", ["doe", "example"]),
        ("see https://h.example/p?id=3 or www.h.example", ["example"]),
        ("SSN 078-05-1120", ["1120"]),
        ("host 10.11.12.13", ["11.12"]),
        ("12 Old Mill Road, Apt 4", ["Mill", "12"]),
        ("P.O. Box 991", ["991"]),
        ("Boston, MA 02115", ["Boston", "02115"]),
        ("a 93-year-old man", ["93"]),
        ("aged 101", ["101"]),
        ("a ninety-two year old", ["ninety"]),
        ("case 12345678", ["12345678"]),
        ("MR# 4471", ["4471"]),
        ("Chart 4471-A was pulled", ["4471"]),
        ("ID: 447193", ["447193"]),
        ("Policy #: AB-4471", ["4471"]),
        ("3 Harbor Circle", ["Harbor", "3"]),
        ("she turned 93 in May", ["93"]),
        ("Primary care provider: Xi Quodling", ["Xi", "Quodling"]),
        ("Emergency contact: Quodling", ["Quodling"]),
        ("cc: Quodling, Vree", ["Quodling", "Vree"]),
        ("His neighbor Quodling found him", ["Quodling"]),
        ("Dr Müqual and Mr. Ólrun", ["Müqual", "qual", "Ólrun"]),
        ("Daughter:\u00a0Šquodling", ["quodling"]),
        ("seen by Quod\u2011Vree, M.D.", ["Quod", "Vree"]),
        ("Patient name:\u00a0Quodling", ["Quodling"]),
        ("in Dr. Quodling's clinic, daughter Vree's house", ["Quodling", "Vree"]),
        ("93M with CHF", ["93"]),
        ("Seen today. A 95 female", ["95"]),
        ("after her 93rd birthday", ["93"]),
        ("aged ninety-three", ["ninety", "three"]),
        ("turned ninety-one", ["ninety", "one"]),
        ("phone number is 555-1234", ["1234"]),
        ("call her at 555-0142", ["0142"]),
        ("SSN 078 05 1120", ["078", "05", "1120"]),
        ("MRN 12 34 56", ["12", "34", "56"]),
        ("VIN 1HGCM82633A004352, passport C1234567", ["1HG", "C123"]),
        ("Medicare number 1EG4-TE5-MK73", ["1EG4", "MK73"]),
        ("see patients.site.example.org/p3", ["site", "p3"]),
        ("ZIP 02115", ["02115"]),
        ("Dr. van der Quodling and Prof. de la Vree", ["Quodling", "Vree"]),
        ("Drs. Quodling, Vree and Zabrinski agree", ["Quodling", "Vree", "Zabrinski"]),
        ("Dear Xi Quodling,\nthank you. Sincerely,\nOlo Vree", ["Xi", "Quodling", "Olo", "Vree"]),
        ("Flat 3, 12 Quodling Gardens, SW1A 1AA", ["Quodling", "12", "SW1A", "1AA"]),
        ("10115 Berlin, Quodlingstr. 4", ["Quodling", "4"]),
        ("at 52.520008, 13.404954", ["520008", "404954"]),
        ("driver's license D1234567, S/N 998877, serial 12AB34CD", ["D123", "998877", "12AB"]),
        ("license plate B-QV 1234", ["B-QV", "1234"]),
        ("Hosp no 123456, Acct #: 00-11", ["123456", "00-11"]),
        ("12 Élan Road; Española, NM 87532", ["lan", "12", "Espa", "87532"]),
    ],
)
def test_each_kind_of_identifier_is_replaced(text: str, gone: list[str]) -> None:
    made = passed(text).text
    assert all(one not in made for one in gone), made
    assert "[" in made


@pytest.mark.parametrize(
    "text",
    [
        "BP 120/80, temp 98.6 F, 50 mg b.i.d., WBC 10,300",
        "An 89-year-old with Parkinson disease and a Foley catheter",
        "Hodgkin lymphoma, stage 2, Gleason 7, Crohn disease",
        "Glucose 250, potassium 4.1, June and the month before",
        "Take 2 tablets, 3 times; grade 2/6 murmur",
        "Doctor: How are you? Nurse: Please wait. He turned 90 degrees, chart 3 of 4",
        "Provider asked about contact precautions; seen by: the team, ID 12",
        "Temp 101 F, walks 100 m, turned ninety degrees, growth plate 2 mm, Ménière disease",
        "Thank you, Doctor. Let's get started. Doctor, what's next?",
        "VITAMIN B12 5MG, T3 N1 M0, plate 3-hole, plate 2 mm, license to drive, T4 2 ng/dL",
        "Dear Colleague, kind regards. He may-be back; ratio 1.25, 3.5, grade 2-3",
    ],
)
def test_what_names_nobody_stays(text: str) -> None:
    assert passed(text).text == text


def test_accents_apart_from_their_letters_are_not_read_past() -> None:
    with pytest.raises(DataError) as caught:
        passed("Dr. Qu\u0301odling")
    assert caught.value.code == "phi-unreadable"


def days() -> int:
    """By which the subject's dates move, as its recordings' do."""
    moment = datetime.datetime.fromisoformat("2021-03-04")
    told = Pseudonyms(Phi()).start(moment, "patient-7")
    return (moment - datetime.datetime.fromisoformat(told)).days


def read(text: str, form: str) -> datetime.date:
    return datetime.datetime.strptime(f"{text} +0000", f"{form} %z").date()


@pytest.mark.parametrize(
    ("text", "form", "options"),
    [
        ("2021-03-04", "%Y-%m-%d", {}),
        ("03/04/2021", "%m/%d/%Y", {}),
        ("04.03.2021", "%d.%m.%Y", {"dates": "day first"}),
        ("25/12/2020", "%d/%m/%Y", {}),
        ("March 04, 2021", "%B %d, %Y", {}),
        ("04 March 2021", "%d %B %Y", {}),
        ("04-March-2021", "%d-%B-%Y", {}),
        ("04/March/2021", "%d/%B/%Y", {}),
        ("04-March-21", "%d-%B-%y", {}),
        ("04 March '21", "%d %B '%y", {}),
    ],
)
def test_dates_move_by_the_days_of_their_subject(text: str, form: str, options: Any) -> None:
    made = passed(f"on {text} seen", **options).text.removeprefix("on ").removesuffix(" seen")
    before = read(text, form)
    after = read(made, form)
    assert (before - after).days == days() > 0


@pytest.mark.parametrize(
    "text", ["Apr-61", "4-Mar", "2021/3", "2021-03", "3.Apr.1961", "3rd Mar '61", "3 Mar 61"]
)
def test_dates_of_any_form_do_not_stay(text: str) -> None:
    made = passed(f"seen {text}, then home").text
    assert text not in made
    assert re.sub(r"\d+|[A-Z][a-z]+", "", made) == re.sub(
        r"\d+|[A-Z][a-z]+", "", f"seen {text}, then home".replace("rd", "th")
    )


def test_dates_without_a_year_or_a_day_move_too_and_what_is_none_is_taken_out() -> None:
    made = passed("On July 31st, then July 2008, on 7/31, and 2021-13-45.").text
    assert "31st" not in made
    assert "July 2008" not in made
    assert "7/31" not in made
    assert "[date]" in made


def test_the_same_name_is_the_same_and_another_key_gives_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one, other = passed("Dr. Zabrinski came").text, passed("A word with Mrs. Zabrinski").text
    (name,) = {part for text in (one, other) for part in text.split() if part.startswith("[")}
    assert name.startswith("[name-")
    monkeypatch.setenv("MEDRAY_DEID_KEY", "q" * 32)
    assert name not in passed("Dr. Zabrinski came").text


def test_spans_move_along_and_one_that_cuts_covers_all_of_it() -> None:
    text = "Dr. Zabrinski gave aspirin on 2021-03-04 to Angela Zabrinski, warfarin later"
    words = ["aspirin", "warfarin", "Angela"]
    spans = [Span(text.index(one), text.index(one) + len(one), one) for one in words]
    spans.append(Span(6, 30, "cut", (6, 9, 19, 30)))
    made = passed(text, spans)
    assert made.spans is not None
    quotes = [made.text[one.begin : one.end] for one in made.spans]
    assert quotes[:2] == ["aspirin", "warfarin"]
    assert quotes[2].startswith("[name-")
    assert quotes[2].endswith("]")
    assert quotes[3].startswith("[name-")
    first, last, third, end = made.spans[3].parts
    assert made.text[first:last].startswith("[name-")
    assert made.text[first:last].endswith("]")
    assert made.text[third:end] == "aspirin on " + "" * 0 + made.text[third + 11 : end]


@pytest.mark.parametrize(
    "text",
    [
        "user@host",
        "number 1 2 3 4 5 6 7 8 9 0",
        "Dr. The",
        "gopher://x",
    ],
)
def test_a_document_with_something_left_does_not_pass(text: str) -> None:
    with pytest.raises(DataError, match="phi-left") as caught:
        passed(text)
    assert text not in str(caught.value)


@pytest.mark.parametrize("text", ["Angela\u200b Smith", "call \u0666\u0661\u0667", "\uff21ngela"])
def test_characters_that_hide_others_do_not_pass(text: str) -> None:
    with pytest.raises(DataError, match="phi-unreadable"):
        passed(text)


def test_a_site_names_its_people(tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("Quodling\nVree van der Loo\n")
    made = passed("quodling and VREE and loo", names=str(tmp_path / "names.txt")).text
    assert made.count("[name-") == 3
    with pytest.raises(SpecError, match="no-names"):
        passed("x", names=str(tmp_path / "none.txt"))


def test_without_a_key_nothing_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MEDRAY_DEID_KEY")
    with pytest.raises(SpecError, match="no-deid-key"):
        Notes(Notes.Options()).ready()
    Notes(Notes.Options.model_validate({"phi": {"method": "none"}})).ready()


def test_notes_pass_with_all_that_is_kept_of_them(tmp_path: Path) -> None:
    canary = "Zabrinski"
    lines = [
        {"id": f"{canary}-1", "who": canary, "text": f"Dr. {canary} came", "plan": f"Mr. {canary}"},
        {"id": "2", "who": canary, "text": f"user@host {canary}", "plan": ""},
    ]
    name = f"{canary}.ndjson"
    (tmp_path / name).write_text("\n".join(map(json.dumps, lines)))
    options = {"id": "id", "subject": "who", "columns": ["plan"]}
    form, source = Notes(Notes.Options.model_validate(options)), Source(tmp_path)
    plan = form.plan(source)
    (item,) = plan.groups[0]
    refused, rows = form.read(source, item)
    told = repr((refused, rows.table.to_pylist(), item.key, form.shown(item)))
    assert canary not in told
    assert canary.lower() not in told.lower()
    assert refused.code == "phi-left"
    assert rows.table["text"].to_pylist()[0].startswith("Dr. [name-")
