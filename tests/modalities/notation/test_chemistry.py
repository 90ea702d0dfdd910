"""What is said of molecules agrees with what it is by definition."""

import numpy as np
import pytest
import selfies

from medray.modalities.notation import chemistry
from medray.modalities.notation.appraisal import METRICS, appraise, section

ALKANES = ["C" * length for length in range(2, 12)]


def test_only_texts_with_atoms_are_molecules() -> None:
    assert [chemistry.molecule(text) is None for text in ("CCO", "", None, "C(C", "c1cccc1C")] == [
        False, True, True, True, True,
    ]  # fmt: skip


def test_the_distance_is_the_area_between_distribution_functions() -> None:
    some, others = np.array([0.0, 1.0, 1.0]), np.array([1.0, 3.0])
    # Of sorted values 0, 1, 3: |1/3 - 0| * 1 + |1 - 1/2| * 2, over a deviation of 1.
    assert chemistry.distance(some, others) == pytest.approx(4 / 3)
    shifted = np.random.default_rng(0).normal(size=500)
    assert chemistry.distance(shifted + 0.7, shifted) == pytest.approx(0.7 / shifted.std())
    assert chemistry.distance(others, others) == 0


def test_neighbours_and_diversity() -> None:
    mols = [chemistry.molecule(text) for text in ("CCO", "CCO", "c1ccccc1")]
    prints = [chemistry.print_of(chemistry.bits(mol)) for mol in mols]
    assert chemistry.nearest(prints[:1], prints).tolist() == [1.0]
    assert chemistry.nearest(prints[2:], prints, [2]).tolist() == [0.0]
    assert chemistry.diversity(prints) == pytest.approx(2 / 3)  # pairs: 1, 0, 0


def test_shares_are_of_all_that_was_drawn() -> None:
    drawn = [None, None, "CC", "CCC", "CCC", "CCN", "CCN", "CCO"]
    found = appraise(drawn, ALKANES, 20, 0)
    metrics = found["metrics"]
    assert metrics["valid"] == 6 / 8
    assert metrics["unique"] == 4 / 6
    assert metrics["novel"] == 2 / 4
    assert metrics["product"] == pytest.approx(2 / 8)
    assert metrics["product"] == pytest.approx(6 / 8 * 4 / 6 * 2 / 4)
    assert set(METRICS) | {f"floor_{name}" for name in METRICS} == set(metrics)
    assert metrics["floor_valid"] == 1  # chains of carbon are chains of carbon
    assert found["summary"]["shown"] == ["CCN", "CCO"]
    assert found["summary"]["cautions"] == []
    assert appraise(drawn, ALKANES, 20, 0) == found


def test_a_collapse_is_told() -> None:
    found = appraise(["CCO"] * 9 + ["CCN"], ALKANES, 20, 0)
    (said,) = found["summary"]["cautions"]
    assert said == "the model has collapsed: 20.0% of its valid molecules are different ones"
    assert section("drawn", found["summary"]).cautions == [said]


def test_nothing_that_is_a_molecule_is_told_too() -> None:
    found = appraise([None, None], ALKANES, 20, 0)
    assert found["metrics"]["valid"] == 0
    assert "qed" not in found["metrics"]
    assert section("drawn", found["summary"]).cautions == ["nothing that was drawn is a molecule"]


def test_selfies_of_the_same_molecules_have_a_floor_of_their_own() -> None:
    told = [selfies.encoder(text) for text in ALKANES]
    found = appraise(["CCO"], ALKANES, 20, 0, selfies=told)
    assert list(found["summary"]["found"]) == [
        "training part", "model", "5-grams", "5-grams of SELFIES",
    ]  # fmt: skip
    floor = found["summary"]["found"]["5-grams of SELFIES"]
    assert floor["valid"] == 1
    shares, distributions = section("drawn", found["summary"]).tables
    rows = ["model", "5-grams", "5-grams of SELFIES", "training part"]
    assert [row["of"] for row in shares.rows] == rows
    assert [row["of"] for row in distributions.rows] == rows[:-1]
