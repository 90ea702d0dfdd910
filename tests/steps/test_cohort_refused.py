"""Cohorts that make no sense, or are asked of what has no subjects, are refused by name."""

from pathlib import Path
from typing import Any

import pytest

from medray.errors import MedrayError
from medray.jobs.run import run
from medray.storage.store.objects import Objects
from tests.cohorts import COHORT, HER, MAPPING, cohort, problems, write


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"at": {"event": ["IN"], "every": "24h"}}, "bad-field"),
        ({"at": {"event": ["IN"], "plus": "1 fortnight"}}, "bad-field"),
        ({"label": {"event": ["DEATH"]}}, "bad-field"),
        ({"sequence": {}}, "bad-field"),
    ],
)
def test_options_that_make_no_sense_are_named(
    objects: Objects, changed: dict[str, Any], code: str
) -> None:
    step = {
        "kind": "transform",
        "data": "people",
        "operation": {**COHORT, **changed},
        "output": "c",
    }
    assert code in [one.code for one in problems([step], objects)]


def test_a_cohort_without_codes_or_of_some_samples_is_refused(
    objects: Objects, tmp_path: Path
) -> None:
    with pytest.raises(MedrayError, match="no-codes"):
        cohort(objects, tmp_path, HER, features={"min_subjects": 9})
    step = {"kind": "transform", "data": "people", "operation": COHORT, "output": "c",
            "select": {"subject": "a"}}  # fmt: skip
    with pytest.raises(MedrayError, match="selects-none"):
        run([step], storage=objects, cluster="inline")


def test_parts_of_subjects_are_no_subjects(objects: Objects, tmp_path: Path) -> None:
    write(tmp_path, HER)
    form = {"name": "ehr", "mapping": MAPPING, "deidentify": {"method": "none"}}
    steps = [
        {"kind": "ingest", "format": form, "source": str(tmp_path), "output": "parts"},
        {"kind": "transform", "data": "parts", "operation": COHORT, "output": "cohort"},
    ]
    (problem,) = problems(steps, objects)
    assert (problem.code, problem.hint) == (
        "no-subjects",
        "make whole subjects by a step of kind gather",
    )
