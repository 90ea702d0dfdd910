"""--set: which step is meant, what may be set, and the order of merging."""

import pytest

from medray.errors import SpecError
from medray.spec.override import merge, override

JOB = [
    {"kind": "ingest", "output": "ct.v1", "split": {"train": 0.8, "val": 0.2}},
    {"kind": "train", "output": "net", "train": {"epochs": 5, "optimiser": {"lr": 0.1}}},
    {"kind": "predict", "output": "train", "select": {"split": ["val", "test"]}},
]


def test_a_field_is_set_in_every_step_that_has_it() -> None:
    changed = override(JOB, ["policy.error_budget=0.5"])
    assert [step["policy"] for step in changed] == [{"error_budget": 0.5}] * 3
    assert "policy" not in JOB[0]


def test_a_fields_name_wins_over_an_outputs() -> None:
    changed = override(JOB, ["train.epochs=7"])
    assert changed[1]["train"] == {"epochs": 7, "optimiser": {"lr": 0.1}}
    assert changed[2] == JOB[2]


def test_a_step_by_number() -> None:
    changed = override(JOB, ["2.train.optimiser.lr=1.5", "3.options.overlap=0.25"])
    assert changed[1]["train"]["optimiser"]["lr"] == 1.5
    assert changed[2]["options"]["overlap"] == 0.25


def test_a_step_by_the_name_of_its_output_even_with_dots() -> None:
    changed = override(JOB, ["ct.v1.split.seed=3", "net.train.epochs=9"])
    assert changed[0]["split"] == {"train": 0.8, "val": 0.2, "seed": 3}
    assert changed[1]["train"]["epochs"] == 9


def test_values_are_yaml_and_lists_are_indexed() -> None:
    changed = override(JOB, ["3.select.split.1=x", "2.train.workers=[1, 2]", "2.plan=null"])
    assert changed[2]["select"]["split"] == ["val", "x"]
    assert changed[1]["train"]["workers"] == [1, 2]
    assert changed[1]["plan"] is None


def test_later_settings_win() -> None:
    changed = override(JOB, ["2.train.epochs=1", "2.train.epochs=2"])
    assert changed[1]["train"]["epochs"] == 2


@pytest.mark.parametrize(
    "setting", ["epochs", "4.train.epochs=1", "nothing.epochs=1", "2=x", "2.output.x=1", ".a=1"]
)
def test_what_leads_nowhere_is_refused(setting: str) -> None:
    with pytest.raises(SpecError) as caught:
        override(JOB, [setting])
    assert caught.value.code == "bad-set"
    # Its value is not shown: it may be a secret.
    assert caught.value.about == f"--set {setting.partition('=')[0]}"


def test_merge_goes_into_mappings_and_replaces_the_rest() -> None:
    lower = {"train": {"workers": 8, "optimiser": {"lr": 1, "name": "sgd"}}, "tags": [1, 2]}
    upper = {"train": {"optimiser": {"lr": 2}}, "tags": [3]}
    assert merge(lower, upper) == {
        "train": {"workers": 8, "optimiser": {"lr": 2, "name": "sgd"}},
        "tags": [3],
    }
