from collections.abc import Iterator

import numpy as np
import pytest
import torch

from medray.modalities.signal.intervals import Interval, Intervals, most_probable
from medray.modalities.signal.streaming import streamed, windows_of
from medray.models.signal.unet1d import UNet1d


def blocks_of(record: np.ndarray, sizes: list[int]) -> Iterator[np.ndarray]:
    start = at = 0
    while start < record.shape[1]:
        stop = start + sizes[at % len(sizes)]
        yield record[:, start:stop]
        start, at = stop, at + 1


@pytest.mark.parametrize("sizes", [[1000], [7], [64, 1, 200], [50]])
@pytest.mark.parametrize("margin", [0, 8, 150])
def test_windows_follow_each_other(sizes: list[int], margin: int) -> None:
    record = np.arange(2 * 427).reshape(2, 427)
    seen, start = [], 0
    for inside, part in windows_of(blocks_of(record, sizes), 50, margin):
        low = max(0, start - margin)
        stop = min(427, start + 50)
        assert np.array_equal(part, record[:, low : min(427, stop + margin)])
        assert inside == slice(start - low, stop - low)
        seen.append(part[:, inside])
        start = stop
    assert np.array_equal(np.concatenate(seen, 1), record)


def test_of_nothing_there_are_no_windows() -> None:
    assert list(windows_of(iter([]), 50, 8)) == []


@pytest.mark.parametrize(("length", "window"), [(2000, 96), (2000, 100), (61, 64), (777, 4096)])
def test_a_streamed_record_is_answered_as_in_one_piece(length: int, window: int) -> None:
    torch.manual_seed(0)
    options = UNet1d.Options(features=(4, 6, 8), steps=(2, 4), kernel=3, dilations=(1, 3))
    network = UNet1d.build(options, 2, 3, None).eval()
    record = np.random.default_rng(0).normal(0, 1, (2, length)).astype(np.float32)

    def answer(signals: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return network(torch.from_numpy(np.ascontiguousarray(signals))).softmax(1).numpy()

    got = list(
        streamed(
            blocks_of(record, [130, 3]),
            answer,
            divisor=network.divisor,
            margin=network.margin,
            window=window,
        )
    )
    whole = answer(record[None])[0]
    np.testing.assert_allclose(np.concatenate(got, 1), whole, atol=1e-5)


def probability(labels: str, sure: float = 0.75, classes: int = 3) -> np.ndarray:
    kinds = np.array([int(label) for label in labels])
    made = np.full((classes, len(kinds)), (1 - sure) / (classes - 1))
    made[kinds, np.arange(len(kinds))] = sure
    return made


def collected(labels: str, step: int, least: int = 1, gap: int = 0) -> list[Interval]:
    given = probability(labels)
    found = Intervals(0, least, gap)
    for start in range(0, len(labels), step):
        found.add(given[:, start : start + step])
    return found.end()


@pytest.mark.parametrize("step", [1, 2, 3, 100])
@pytest.mark.parametrize(
    ("labels", "least", "gap", "wanted"),
    [
        ("0011122000", 1, 0, [(2, 5, 1), (5, 7, 2)]),
        ("1100110111", 1, 0, [(0, 2, 1), (4, 6, 1), (7, 10, 1)]),
        ("1100110111", 1, 1, [(0, 2, 1), (4, 10, 1)]),
        ("1100110111", 1, 2, [(0, 10, 1)]),
        ("1100110111", 3, 0, [(7, 10, 1)]),
        ("1102011", 1, 9, [(0, 2, 1), (3, 4, 2), (5, 7, 1)]),  # another class lies between
        ("1010101", 7, 1, [(0, 7, 1)]),  # joined before what is short is dropped
        ("0000", 1, 0, []),
    ],
)
def test_intervals_do_not_hang_on_blocks(
    step: int, labels: str, least: int, gap: int, wanted: list[tuple[int, int, int]]
) -> None:
    found = collected(labels, step, least, gap)
    assert [(one.start, one.stop, one.kind) for one in found] == wanted


def test_an_interval_is_as_probable_as_its_samples_are_in_the_mean() -> None:
    (one,) = collected("11011", 2, gap=1)
    assert one.probability == pytest.approx((4 * 0.75 + 0.125) / 5)
    found = Intervals(None)
    found.add(probability("001"))
    assert [(one.start, one.stop, one.kind) for one in found.end()] == [(0, 2, 0), (2, 3, 1)]
    assert Intervals(0).end() == []


def test_the_most_probable_class_is_the_first_of_the_largest() -> None:
    given = np.random.default_rng(0).integers(0, 4, (5, 500)) / 4
    assert np.array_equal(most_probable(given), given.argmax(0))
