import json

import numpy as np
import pyarrow as pa
import pytest
from scipy import ndimage

from medray.errors import DataError
from medray.tasks.metrics.segmentation import (
    CASE_SCHEMA,
    score_segmentation,
    summarise_segmentation,
)
from medray.tasks.metrics.surface import surface_distances, volume_diagonal_mm

CLASSES = ["background", "liver", "tumour"]
SPACING = (2.5, 0.8, 0.9)


def truth() -> np.ndarray:
    label = np.zeros((16, 30, 28), np.uint8)
    label[4:12, 5:22, 6:20] = 1
    label[6:9, 8:12, 9:13] = 2
    label[6:9, 16:19, 15:18] = 2
    return label


def table(cases: dict[str, list[dict]]) -> pa.Table:
    rows = [{"case": sample, **row} for sample, scored in cases.items() for row in scored]
    return pa.Table.from_pylist(rows)


def test_rows_have_the_schema_and_the_right_numbers() -> None:
    actual = truth()
    predicted = ndimage.shift(actual, (1, 0, 2), order=0)
    liver, tumour = score_segmentation(predicted, actual, SPACING, CLASSES)
    assert list(liver) == list(tumour)
    assert set(liver) == set(CASE_SCHEMA.names)
    surface = surface_distances(predicted == 1, actual == 1, SPACING)
    assert liver["hd95_mm"] == pytest.approx(surface.hausdorff())
    assert liver["surface_dice"] == pytest.approx(surface.dice(1.0))
    both, p, a = (
        ((predicted == 1) & (actual == 1)).sum(),
        (predicted == 1).sum(),
        (actual == 1).sum(),
    )
    assert liver["dice"] == pytest.approx(2 * both / (p + a))
    assert liver["voxel_error"] == pytest.approx(np.mean(predicted != actual))
    assert liver["actual_ml"] == pytest.approx(a * 2.5 * 0.8 * 0.9 / 1000)
    assert (liver["status"], tumour["status"]) == ("scored", "scored")
    assert (tumour["lesions_found"], tumour["lesions_false"], tumour["lesions_missed"]) == (2, 0, 0)


def test_all_background_is_the_worst_and_counts() -> None:
    actual = truth()
    rows = score_segmentation(np.zeros_like(actual), actual, SPACING, CLASSES)
    worst = volume_diagonal_mm(actual.shape, SPACING)
    assert [row["dice"] for row in rows] == [0.0, 0.0]
    assert [row["hd95_mm"] for row in rows] == [worst, worst]
    assert [row["surface_dice"] for row in rows] == [0.0, 0.0]
    assert [row["status"] for row in rows] == ["missed", "missed"]
    assert rows[1]["lesions_missed"] == 2
    metrics = summarise_segmentation(table({"a": rows}))["metrics"]
    assert metrics["dice"]["value"] == 0.0
    assert metrics["hd95_mm"]["value"] == pytest.approx(worst)
    assert metrics["lesion_f1"]["value"] == 0.0


def test_no_prediction_is_worst_even_where_nothing_was_to_find() -> None:
    empty = np.zeros((4, 5, 6), np.uint8)
    absent = score_segmentation(empty, empty, SPACING, CLASSES)
    lost = score_segmentation(None, empty, SPACING, CLASSES)
    assert {row["status"] for row in absent} == {"absent"}
    assert {row["dice"] for row in absent} == {None}
    assert {row["status"] for row in lost} == {"no-prediction"}
    assert {row["dice"] for row in lost} == {0.0}
    assert {row["hd95_mm"] for row in lost} == {volume_diagonal_mm((4, 5, 6), SPACING)}
    assert {row["voxel_error"] for row in lost} == {1.0}


def test_an_invented_structure_is_scored_as_badly_as_a_missed_one() -> None:
    actual = truth()
    without = np.where(actual == 2, 1, actual)
    tumour = score_segmentation(actual, without, SPACING, CLASSES)[1]
    assert (tumour["status"], tumour["dice"], tumour["sensitivity"]) == ("invented", 0.0, None)
    assert tumour["hd95_mm"] == volume_diagonal_mm(actual.shape, SPACING)
    assert (tumour["lesions_found"], tumour["lesions_false"]) == (0, 2)


def test_leaving_a_structure_out_never_helps() -> None:
    """What MONAI's NaN rule allows (issue 9095): dropping the hard case to lift the mean."""
    actual = truth()
    poor = ndimage.shift(actual, (0, 5, 5), order=0)
    lazy = np.where(poor == 2, 0, poor)
    means = []
    for predicted in (poor, lazy):
        summary = summarise_segmentation(
            table(
                {
                    "a": score_segmentation(predicted, actual, SPACING, CLASSES),
                    "b": score_segmentation(actual, actual, SPACING, CLASSES),
                }
            )
        )
        means.append(summary["classes"]["tumour"])
    assert means[1]["hd95_mm"]["value"] > means[0]["hd95_mm"]["value"]
    assert means[1]["dice"]["value"] <= means[0]["dice"]["value"]
    assert means[1]["counts"] == {"missed": 1, "scored": 1}


def test_cropping_to_the_structure_does_not_change_a_one_slice_lesion() -> None:
    actual = np.zeros((9, 20, 20), np.uint8)
    actual[4, 5:15, 5:15] = 1
    predicted = np.roll(actual, 1, axis=1)
    row = score_segmentation(predicted, actual, SPACING, ["background", "lesion"])[0]
    surface = surface_distances(predicted == 1, actual == 1, SPACING)
    assert len(surface.actual_mm) == 100
    assert row["hd95_mm"] == pytest.approx(surface.hausdorff())


def test_a_single_slice_is_judged_in_its_plane() -> None:
    flat = truth()[7]
    predicted = np.roll(flat, 2, axis=0)
    in_plane = score_segmentation(predicted, flat, SPACING[1:], CLASSES)
    stacked = score_segmentation(predicted[None], flat[None], SPACING, CLASSES)
    assert in_plane[0]["hd95_mm"] == stacked[0]["hd95_mm"] == pytest.approx(1.6)
    assert in_plane[0]["surface_dice"] == stacked[0]["surface_dice"]
    assert in_plane[0]["actual_ml"] is None


def test_refuses_another_grid() -> None:
    with pytest.raises(DataError) as caught:
        score_segmentation(truth()[1:], truth(), SPACING, CLASSES)
    assert caught.value.code == "grid-mismatch"


def test_summary_is_the_macro_mean_with_every_case_accounted_for() -> None:
    actual = truth()
    no_tumour = np.where(actual == 2, 1, actual)
    cases = {
        "good": score_segmentation(actual, actual, SPACING, CLASSES),
        "shifted": score_segmentation(np.roll(actual, 3, axis=1), actual, SPACING, CLASSES),
        "healthy": score_segmentation(no_tumour, no_tumour, SPACING, CLASSES),
        "lost": score_segmentation(None, actual, SPACING, CLASSES),
    }
    summary = summarise_segmentation(table(cases))
    dice = {(s, r["class"]): r["dice"] for s, rows in cases.items() for r in rows}
    liver = np.mean([dice[s, "liver"] for s in cases])
    tumour = np.mean([dice[s, "tumour"] for s in ("good", "shifted", "lost")])
    assert summary["classes"]["liver"]["dice"]["value"] == pytest.approx(liver)
    assert summary["classes"]["tumour"]["dice"]["value"] == pytest.approx(tumour)
    assert summary["classes"]["tumour"]["dice"]["cases"] == 3
    assert summary["metrics"]["dice"]["value"] == pytest.approx((liver + tumour) / 2)
    assert summary["metrics"]["dice"]["low"] is None, "four cases are too few"
    assert summary["classes"]["tumour"]["dice"]["subjects"] == 3
    assert summary["cases"] == 4
    assert sum(summary["counts"].values()) == 8
    assert summary["counts"] == {"scored": 5, "absent": 1, "no-prediction": 2}
    # good 2 found; shifted finds what still overlaps; lost misses 2
    found, false, missed = (
        sum(rows[1][f"lesions_{kind}"] for rows in cases.values())
        for kind in ("found", "false", "missed")
    )
    f1 = 2 * found / (2 * found + false + missed)
    assert summary["classes"]["tumour"]["lesion_f1"]["value"] == pytest.approx(f1)
    assert summary["worst"][0]["case"] == "lost"
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary


def test_subjects_widen_the_interval() -> None:
    random = np.random.default_rng(0)
    rows, names = [], []
    for subject in range(8):
        quality = random.uniform(0.5, 1.0)
        for scan in range(6):
            names.append(f"p{subject}")
            rows.append({"dice": quality, "hd95_mm": 1.0, "case": f"p{subject}-{scan}"})
    cases = pa.Table.from_pylist(
        [
            {**dict.fromkeys(CASE_SCHEMA.names), "class": "a", "status": "scored", **row}
            for row in rows
        ]
    )
    alone = summarise_segmentation(cases)["metrics"]["dice"]
    together = summarise_segmentation(cases.append_column("subject", pa.array(names)))["metrics"]
    assert together["dice"]["value"] == pytest.approx(alone["value"])
    width = together["dice"]["high"] - together["dice"]["low"]
    assert width > 1.5 * (alone["high"] - alone["low"])


def test_nothing_to_find_anywhere_is_no_score() -> None:
    empty = np.zeros((3, 4, 5), np.uint8)
    summary = summarise_segmentation(
        table({"a": score_segmentation(empty, empty, SPACING, CLASSES)})
    )
    assert summary["metrics"]["dice"] == {
        "value": None,
        "low": None,
        "high": None,
        "cases": 0,
        "subjects": 0,
    }
    assert summary["metrics"]["voxel_error"]["value"] == 0.0
    assert summary["counts"] == {"absent": 2}
    assert summary["worst"] == []
