"""Instances against hand computation and the definitions that were published."""

import numpy as np
import pyarrow as pa
import pytest

from medray.errors import DataError
from medray.tasks.metrics.bootstrap import Bootstrap
from medray.tasks.metrics.instances import score_instances, summarise_instances


def strip(*runs: tuple[int, int]) -> np.ndarray:
    """A row of pixels of (number, length)."""
    return np.concatenate([np.full(length, number, np.uint16) for number, length in runs])[None]


TRUTH = strip((1, 10), (0, 2), (2, 6), (0, 2), (7, 4), (0, 6))
#               0-9      10-11   12-17   18-19   20-23   24-29
FOUND = strip((5, 8), (0, 5), (9, 7), (0, 5), (3, 3), (0, 2))
#               0-7     8-12    13-19   20-24   25-27   28-29
# 1 and 5: 8 of 10, IoU 0.8. 2 and 9: 5 of 6 + 7 - 5, IoU 0.625. 7 is missed, 3 is invented.


def test_a_row_by_hand() -> None:
    row = score_instances(FOUND, TRUTH)
    assert (row["status"], row["actual"], row["predicted"], row["matched"]) == ("scored", 3, 3, 2)
    assert row["f1"] == pytest.approx(2 / 3)
    assert row["sq"] == pytest.approx((0.8 + 0.625) / 2)
    assert row["pq"] == pytest.approx((0.8 + 0.625) / (2 + 0.5 + 0.5))
    assert row["pq"] == pytest.approx(row["sq"] * row["f1"])
    assert row["aji"] == pytest.approx((8 + 5) / (10 + 8 + 4 + 3))  # unions, the missed, the other
    assert row["iou"] == pytest.approx((0.8 + 0.625 + 0) / 3)
    assert row["foreground_iou"] == pytest.approx(13 / (20 + 18 - 13))


def test_two_that_are_merged_are_both_of_the_one_in_aji_and_neither_in_pq() -> None:
    truth, merged = strip((1, 4), (2, 4)), strip((1, 8))
    row = score_instances(merged, truth)
    assert (row["matched"], row["pq"], row["iou"]) == (0, 0.0, 0.5)  # 0.5 is not above it
    assert row["sq"] is None
    assert row["aji"] == pytest.approx((4 + 4) / (8 + 8))
    assert row["foreground_iou"] == 1


def test_of_one_that_is_split_the_larger_part_counts() -> None:
    row = score_instances(strip((1, 6), (2, 4)), strip((1, 10)))
    assert row["aji"] == pytest.approx(6 / (10 + 4))
    assert row["pq"] == pytest.approx(0.6 / (1 + 0.5))


@pytest.mark.parametrize(("axes", "shape"), [(2, (24, 31)), (3, (9, 11, 13))])
def test_definitions_by_plain_loops(axes: int, shape: tuple[int, ...]) -> None:
    random = np.random.default_rng(axes)
    truth, found = (np.kron(random.integers(0, 9, [-(-n // 4) for n in shape]), np.ones([4] * axes))
                    for _ in range(2))  # fmt: skip
    cut = tuple(slice(0, n) for n in shape)
    truth = truth[cut].astype(int) * 3
    found = np.where(random.random(shape) < 0.8, truth, found[cut].astype(int))
    iou: dict[tuple[int, int], float] = {}
    own, theirs = (sorted(set(one.ravel().tolist()) - {0}) for one in (truth, found))
    for a in own:
        for b in theirs:
            both = int(((truth == a) & (found == b)).sum())
            iou[a, b] = both / int(((truth == a) | (found == b)).sum())
    matched = [one for one in iou.values() if one > 0.5]
    shared = total = 0
    used = set()
    for a in own:
        best = max(theirs, key=lambda b: (iou[a, b], -b))
        if iou[a, best]:
            shared += int(((truth == a) & (found == best)).sum())
            total += int(((truth == a) | (found == best)).sum())
            used.add(best)
        else:
            total += int((truth == a).sum())
    total += sum(int((found == b).sum()) for b in theirs if b not in used)
    row = score_instances(found, truth)
    assert row["pq"] == pytest.approx(2 * sum(matched) / (len(own) + len(theirs)))
    assert row["aji"] == pytest.approx(shared / total)
    assert row["iou"] == pytest.approx(np.mean([max(iou[a, b] for b in theirs) for a in own]))


def test_what_is_on_one_side_only_is_worth_nothing_and_nothing_is_left_out() -> None:
    empty = np.zeros((1, 8), np.uint8)
    some = strip((1, 3), (0, 5))
    assert score_instances(empty, empty)["status"] == "absent"
    assert score_instances(empty, empty)["pq"] is None
    for found, truth, status in ((empty, some, "missed"), (some, empty, "invented")):
        row = score_instances(found, truth)
        assert (row["status"], row["pq"], row["aji"], row["iou"]) == (status, 0, 0, 0)
    row = score_instances(None, some)
    assert (row["status"], row["pq"], row["actual"]) == ("no-prediction", 0, 1)
    assert score_instances(None, empty)["pq"] == 0
    with pytest.raises(DataError, match="grid-mismatch"):
        score_instances(some[:, :4], some)


def test_a_summary_leaves_out_what_is_absent_and_counts_all() -> None:
    empty = np.zeros((1, 30), np.uint8)
    rows = [score_instances(FOUND, TRUTH), score_instances(empty, empty),
            score_instances(empty, TRUTH)]  # fmt: skip
    cases = pa.Table.from_pylist([{"case": f"c{n}", **row} for n, row in enumerate(rows)])
    told = summarise_instances(cases, Bootstrap(repeats=0))
    assert told["metrics"]["pq"]["value"] == pytest.approx(rows[0]["pq"] / 2)
    assert told["metrics"]["pq"]["cases"] == 2
    assert told["totals"] == {"actual": 6, "predicted": 3, "matched": 2}
    assert told["counts"] == {"scored": 1, "absent": 1, "missed": 1}
    assert [row["case"] for row in told["worst"]] == ["c2", "c0"]
