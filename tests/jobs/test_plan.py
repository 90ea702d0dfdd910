"""Plans: identities that hold for ever, and what of an input moves them."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medray.errors import SpecError
from medray.formats.base import Found, Input
from medray.formats.packed import unpack
from medray.steps.base.planned import Planned, plan_shards
from medray.steps.base.sources import source_of
from medray.steps.ingest.plan import plan_ingest
from medray.storage.catalog.datasets import Dataset
from medray.storage.shards.records import Refusal
from medray.storage.shards.samples import Sample


def item(key: str, fingerprint: str = "f") -> Input:
    return Input(key, (f"{key}.nii",), fingerprint, 10, {})


def ingest(*groups: list[Input], split: float = 0.8, samples: int | None = None) -> Planned:
    return plan_ingest(
        Found(list(groups), [Refusal("bad", "not-nifti", "no header")]),
        name="nifti",
        identity={"format": {"name": "nifti"}, "split": {"train": split}},
        samples=samples,
    )


def test_a_source_is_looked_into_and_not_listed(tmp_path: Path, monkeypatch: Any) -> None:
    """Python's `iterdir` lists all of a folder: half a microsecond for each file of it."""

    def listed(*_: object) -> list[str]:
        raise AssertionError("the folder was listed")

    monkeypatch.setattr(os, "listdir", listed)
    assert source_of(str(tmp_path)).root == tmp_path


def test_golden_ids() -> None:
    """They name committed work in every store there is: a change here computes all of it anew."""
    planned = ingest([item("a"), item("b")], [item("c")])
    assert [unit.id for unit in planned.units] == [
        "397571923d39001bf0281353d58c2fc7",
        "1b29190253a4bde47e600addd31ff539",
    ]
    assert planned.identity == "2e43b2536dda4e5165778d75e536780c"


def test_what_a_plan_accounts_for() -> None:
    planned = ingest([item("a"), item("b")], [item("c")])
    assert planned.inputs == 4
    assert [unit.index for unit in planned.units] == [0, 1]
    assert list(unpack(planned.units[0].payload).values()) == [item("a"), item("b")]
    assert list(planned.units[0].payload["bytes"]) == [10, 10]


def test_a_changed_file_moves_its_own_unit_only() -> None:
    before = ingest([item("a"), item("b")], [item("c")])
    after = ingest([item("a"), item("b", "touched")], [item("c")])
    assert before.units[0].id != after.units[0].id
    assert before.units[1].id == after.units[1].id


def test_options_move_every_unit() -> None:
    assert ingest([item("a")]).units[0].id != ingest([item("a")], split=0.5).units[0].id


def test_units_can_be_sized_by_the_job() -> None:
    planned = ingest([item(f"s{n:03d}") for n in range(100)], samples=5)
    assert sum(len(unit.inputs) for unit in planned.units) == 100
    assert max(len(unit.inputs) for unit in planned.units) <= 10


def test_a_key_may_stand_once() -> None:
    with pytest.raises(SpecError) as caught:
        ingest([item("a")], [item("a")])
    assert caught.value.code == "duplicate-input"
    assert "one id" in (caught.value.hint or "")


def test_units_over_a_dataset_hold_what_is_selected(balls: Dataset) -> None:
    planned = plan_shards(balls, "predict", identity={}, select={"split": "val"}, model="m1")
    assert [unit.inputs for unit in planned.units] == [("s00", "s04", "s08", "s12")]
    assert planned.units[0].payload == {
        "shard": list(balls.units[0].pinned),
        "rows": [0, 4, 8, 12],
    }


def test_a_unit_over_a_dataset_is_its_content_selection_parameters_and_model(
    balls: Dataset,
) -> None:
    def unit(**changes: object) -> str:
        given = {"identity": {"tta": False}, "select": {"split": "val"}, "model": "m1", **changes}
        return plan_shards(balls, "predict", **given).units[0].id  # type: ignore[arg-type]

    ids = {
        unit(),
        unit(model="m2"),
        unit(identity={"tta": True}),
        unit(select={"split": "train"}),
        unit(select={"subject": "p0"}),
    }
    assert len(ids) == 5
    assert unit() == unit(select={"subject": ["p0", "p4", "p8", "p12"]})


def test_pairs_are_found_by_id_and_missing_ones_stay_null(make_dataset, balls: Dataset) -> None:
    sample = Sample("s04", {"subject": "p4"}, {"label": np.zeros((2, 2, 2), np.uint8)})
    predictions = make_dataset("masks", [sample])
    planned = plan_shards(
        balls, "evaluate", identity={}, select={"split": "val"}, paired=predictions
    )
    payload = planned.units[0].payload
    assert payload["beside"] == [list(predictions.units[0].pinned)]
    assert payload["paired"] == [None, [0, 0], None, None]
    alone = plan_shards(balls, "evaluate", identity={}, select={"split": "val"})
    assert planned.units[0].id != alone.units[0].id


def test_nothing_selected_is_refused(balls: Dataset) -> None:
    with pytest.raises(SpecError) as caught:
        plan_shards(balls, "predict", identity={}, select={"split": "test"})
    assert caught.value.code == "nothing-selected"
