"""Cohorts against a reference written the plain way, one event after the other; and leaks."""

import datetime as dt
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medray.errors import MedrayError
from medray.jobs.run import run
from medray.steps.transform.transforms.cohort import features as making
from medray.storage.catalog.datasets import Dataset, open_dataset
from medray.storage.store.objects import Objects
from tests.cohorts import COHORT, DAY, HER, MAPPING, Row, at, cohort, write


def drawn(seed: int, people: int = 30) -> list[Row]:
    rng = random.Random(seed)
    rows: list[Row] = []
    for person in range(people):
        who = f"p{person}"
        rows.append((who, f"SEX//{rng.choice('mf')}", None, None, None))
        rows.append((who, "MEDS_BIRTH", at(-365.25 * rng.uniform(20, 80)).replace(microsecond=0),
                     None, None))  # fmt: skip
        start = rng.uniform(0, 5)
        for _ in range(rng.randrange(1, 4)):
            length = rng.uniform(0.3, 6)
            rows.append((who, f"IN//{rng.choice('ab')}", minute(at(start)), None, None))
            for _ in range(rng.randrange(12)):
                time = minute(at(start + rng.uniform(0, length)))
                late = rng.choice([None, minute(time + rng.uniform(0, 2) * DAY)])
                value = rng.choice([None, round(rng.uniform(0, 9), 2)])
                rows.append((who, f"LAB//{rng.choice('xyz')}", time, late, value))
            dead = rng.random() < 0.25
            end = minute(at(start + length))
            if dead:
                rows.append((who, "DEATH", end, None, None))
            if rng.random() < 0.9:
                rows.append((who, "OUT", end, None, None))
            if dead:
                break
            start += length + rng.uniform(1, 30)
    rng.shuffle(rows)
    return rows


def minute(time: dt.datetime) -> dt.datetime:
    return time.replace(second=0, microsecond=0)


def known_at(row: Row) -> dt.datetime:
    assert row[2] is not None
    return max(row[2], row[3] or row[2])


def reference(rows: list[Row]) -> dict[str, tuple[int, dict[str, float]]]:
    """Sample → (target, features that are not 0 or missing)."""
    made = {}
    for who in {row[0] for row in rows}:
        mine = [row for row in rows if row[0] == who]
        timed = sorted((row for row in mine if row[2] is not None), key=lambda row: row[2])  # type: ignore[arg-type,return-value]
        for stay in [row for row in timed if row[1].startswith("IN//")]:
            when = stay[2] + DAY  # type: ignore[operator]
            since = [r for r in timed if stay[2] <= r[2] <= when and r is not stay]  # type: ignore[operator]
            if any(row[1] in ("OUT", "DEATH") for row in since):
                continue
            ends = [row[2] for row in timed if row[1] == "OUT" and row[2] > when]  # type: ignore[operator]
            end = min(ends) if ends else timed[-1][2]  # type: ignore[type-var]
            came = any(row[1] == "DEATH" and when < row[2] <= end for row in timed)  # type: ignore[operator]
            if not came and not ends:
                continue
            found: dict[str, float] = {}
            seen = [row for row in timed if row[2] < when and known_at(row) < when]  # type: ignore[operator]
            for row in [*(row for row in mine if row[2] is None), *seen]:
                for window, length in (("12h", DAY / 2), ("all", 99999 * DAY)):
                    if row[2] is None or row[2] >= when - length:
                        name = f"count({row[1]}, {window})"
                        found[name] = found.get(name, 0) + 1
            for row in sorted(seen, key=lambda row: (row[2], known_at(row))):  # type: ignore[arg-type,return-value]
                if row[4] is not None:
                    found[f"last({row[1]})"] = row[4]
                found[f"hours since({row[1]})"] = (when - row[2]).total_seconds() / 3600  # type: ignore[operator]
            (born,) = [row[2] for row in mine if row[1] == "MEDS_BIRTH"]
            found["age"] = (when - born) / dt.timedelta(days=365.25)  # type: ignore[operator]
            made[f"{who}@{when.isoformat()}"] = (int(came), found)
    return made


def told(data: Dataset) -> dict[str, tuple[int, dict[str, float]]]:
    names = data.attributes["features"]["features"]
    made = {}
    for sample in data:
        values = np.asarray(sample.arrays["features"])
        there = {
            name: float(value)
            for name, value in zip(names, values, strict=True)
            if not np.isnan(value) and not (value == 0 and name.startswith("count"))
        }
        made[sample.id] = (sample.row["target"], there)
    return made


def test_samples_are_those_of_the_reference(objects: Objects, tmp_path: Path) -> None:
    rows = drawn(3)
    found, expected = told(cohort(objects, tmp_path, rows)), reference(rows)
    assert len(expected) > 20
    assert {0, 1} == {target for target, _ in expected.values()}
    assert found.keys() == expected.keys()
    for name, (target, features) in expected.items():
        assert found[name][0] == target, name
        assert found[name][1] == pytest.approx(features, rel=1e-5), name


def test_every_candidate_is_a_sample_or_passed_over(objects: Objects, tmp_path: Path) -> None:
    rows = drawn(4)
    data = cohort(objects, tmp_path, rows)
    stays = {(row[0], row[2]) for row in rows if row[1].startswith("IN//")}
    refused = data.quarantine().to_pylist()
    assert len(data) + len(refused) == len(stays)
    assert {one["code"] for one in refused} == {"over-by-then", "censored"}
    assert {one["kind"] for one in refused} == {"passed-over"}
    counts = data.attributes["cohort"]["samples"]["all"]
    assert counts == [len(data), sum(row["target"] for row in data.samples.to_pylist())]


@pytest.mark.parametrize(
    "planted",
    [
        ("a", "LAB//x", at(1.2), None, 99.0),  # in the future
        ("a", "LAB//x", at(0.7), at(1.2), 99.0),  # a late revision: it happened, nobody knew
        ("a", "LAB//x", at(1.0), None, 99.0),  # at the very time: strictly before is asked
        ("a", "LAB//x", at(0.7), at(1.0), 99.0),
    ],
)
def test_what_was_not_known_reaches_no_feature(
    objects: Objects, tmp_path: Path, planted: Row
) -> None:
    before = told(cohort(objects, tmp_path / "1", HER))
    after = told(cohort(objects, tmp_path / "2", [*HER, planted]))
    assert before == after
    ((_, features),) = after.values()
    assert features["last(LAB//x)"] == 1
    assert "last(LAB//y)" not in features


def test_inclusive_times_are_an_option(objects: Objects, tmp_path: Path) -> None:
    rows = [*HER, ("a", "LAB//x", at(1.0), None, 7.0), ("a", "LAB//z", at(0.5), at(1.1), 7.0)]
    ((_, features),) = told(cohort(objects, tmp_path, rows, inclusive=True)).values()
    assert features["last(LAB//x)"] == 7
    assert "last(LAB//z)" not in features


@pytest.mark.parametrize("blind", ["time", "available"])
def test_the_guard_finds_a_transformation_that_looks_ahead(
    objects: Objects, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, blind: str
) -> None:
    """Features that forget when something was known, or happened: nothing of them is kept."""
    right = making.seen

    def wrong(subjects: Any, who: Any, time: Any, *, inclusive: bool) -> Any:
        if blind == "available":
            subjects = type(subjects)(**{**vars(subjects), "available": subjects.time})
            return right(subjects, who, time, inclusive=inclusive)
        return right(subjects, who, time + 24 * 3600 * 10**6, inclusive=inclusive)

    monkeypatch.setattr(making, "seen", wrong)
    late = ("a", "LAB//x", at(0.7), at(1.2), 99.0)
    with pytest.raises(MedrayError, match="future-in-features"):
        cohort(objects, tmp_path, [*HER, late])
    monkeypatch.undo()
    assert told(cohort(objects, tmp_path, [*HER, late]))


def test_ages_codes_and_the_first_alone(objects: Objects, tmp_path: Path) -> None:
    rows: list[Row] = []
    for who, years in (("old", 70), ("young", 10), ("unknown", None)):
        rows += [(who, code, time, known, value) for _, code, time, known, value in HER]
        rows += [(who, code, time + 10 * DAY, None, None)  # type: ignore[operator,misc]
                 for _, code, time, _, _ in HER]  # fmt: skip
        if years:
            rows.append((who, "MEDS_BIRTH", at(-365.25 * years), None, None))
    adults = {"age": [18, None]}
    assert {
        one.rpartition("@")[0] for one in told(cohort(objects, tmp_path, rows, who=adults))
    } == {"old"}
    first = cohort(objects, tmp_path, rows, at={**COHORT["at"], "which": "first"})
    assert sorted(told(first)) == [
        f"{who}@2020-01-02T00:00:00" for who in ("old", "unknown", "young")
    ]
    again = cohort(objects, tmp_path, rows, who={"has": ["LAB//y"]})
    assert {one.partition("@")[2] for one in told(again)} == {"2020-01-12T00:00:00"}
    never = cohort(objects, tmp_path, rows, exclude={"ever": ["LAB//y"], "since": ["OUT"]})
    assert {one.partition("@")[2] for one in told(never)} == {"2020-01-02T00:00:00"}


def test_again_and_again_until_it_is_over(objects: Objects, tmp_path: Path) -> None:
    every = {"event": ["IN//*"], "plus": "6h", "every": "24h", "until": ["OUT"]}
    label = {"event": ["LAB//y"], "within": "1d"}
    found = told(cohort(objects, tmp_path, HER, at=every, label=label, exclude={}))
    assert {one.partition("@")[2]: target for one, (target, _) in found.items()} == {
        "2020-01-01T06:00:00": 0, "2020-01-02T06:00:00": 0, "2020-01-03T06:00:00": 0,
        "2020-01-04T06:00:00": 0, "2020-01-05T06:00:00": 0,
    }  # fmt: skip
    label = {"event": ["LAB//y"], "within": "42h"}
    found = told(cohort(objects, tmp_path, HER, at=every, label=label, exclude={}))
    assert [target for _, (target, _) in sorted(found.items())] == [0, 0, 0, 0, 1]


def test_codes_are_chosen_on_training_subjects(objects: Objects, tmp_path: Path) -> None:
    write(tmp_path, drawn(5))
    form = {"name": "ehr", "mapping": MAPPING, "deidentify": {"method": "none"}}
    options = {**COHORT, "features": {"codes": 50, "min_subjects": 1}}
    run(
        [
            {"kind": "ingest", "format": form, "source": str(tmp_path), "output": "parts",
             "split": {"train": 0.3, "test": 0.7}},
            {"kind": "gather", "data": "parts", "output": "people"},
            {"kind": "transform", "data": "people", "operation": options, "output": "cohort"},
        ],
        storage=objects,
        cluster="inline",
    )  # fmt: skip
    people = open_dataset(objects, "people")
    training = {r["subject"] for r in people.samples.to_pylist() if r["split"] == "train"}
    expected = {row[1] for row in drawn(5) if row[0] in training}
    assert set(open_dataset(objects, "cohort").attributes["vocabulary"]) == expected
    splits = {
        (r["subject"], r["split"]) for r in open_dataset(objects, "cohort").samples.to_pylist()
    }
    assert splits <= {(r["subject"], r["split"]) for r in people.samples.to_pylist()}


def test_sequences_are_in_order_and_cut_at_the_front(objects: Objects, tmp_path: Path) -> None:
    rows: list[Row] = [*HER, ("a", "SEX//f", None, None, None),
                       ("a", "LAB//late", at(0.2), at(2), None)]  # fmt: skip
    data = cohort(objects, tmp_path, rows, features=None, sequence={"min_subjects": 1})
    words = ["", "other", *data.attributes["vocabulary"]]
    (sample,) = data
    codes = [words[code] for code in np.asarray(sample.arrays["codes"]).tolist()]
    assert codes == ["SEX//f", "IN//a", "LAB//x"]
    hours = np.asarray(sample.arrays["hours"]).tolist()
    assert np.isnan(hours[0])
    assert hours[1:] == [24, 12]
    short = cohort(objects, tmp_path, rows, features=None, sequence={"min_subjects": 1, "most": 1})
    assert np.asarray(short.sample(0).arrays["hours"]).tolist() == [12]
