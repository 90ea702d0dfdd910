import numpy as np

from medray.tasks.metrics.lesions import LesionCounts, match_lesions


def line(text: str) -> np.ndarray:
    return np.array([c == "#" for c in text])[None, :]


def test_found_false_and_missed() -> None:
    #                   0         1         2
    actual = line("##..####....##......##..")
    predicted = line("##..###...............##")
    assert match_lesions(predicted, actual) == LesionCounts(found=2, false=1, missed=2)
    assert match_lesions(predicted, actual).f1 == 2 * 2 / (2 * 2 + 1 + 2)


def test_one_blob_over_two_lesions_finds_one() -> None:
    actual = line("###...####")
    assert match_lesions(line("##########"), actual) == LesionCounts(1, 0, 1)
    assert match_lesions(actual, line("##########")) == LesionCounts(1, 1, 0)


def test_overlap_must_reach_the_threshold() -> None:
    actual, predicted = line("##########."), line(".........##")
    assert match_lesions(predicted, actual, min_iou=1 / 11) == LesionCounts(1, 0, 0)
    assert match_lesions(predicted, actual, min_iou=0.1) == LesionCounts(0, 1, 1)


def test_pairing_prefers_more_pairs_over_one_better_pair() -> None:
    # The long prediction fits lesion A best (IoU .5), but only it reaches B; the short one fits A.
    actual = line("####.####")
    predicted = np.zeros_like(actual)
    predicted[0, 2:9] = True
    short = np.zeros((2, 9), bool)
    short[0] = predicted[0]
    truth = np.zeros((2, 9), bool)
    truth[0] = actual[0]
    assert match_lesions(short, truth).found == 1
    truth[1, :2] = True  # joins lesion A, in a second row
    assert match_lesions(short, truth) == LesionCounts(1, 0, 1)


def test_neighbours_by_a_corner_are_one_lesion() -> None:
    corner = np.zeros((2, 2, 2), bool)
    corner[0, 0, 0] = corner[1, 1, 1] = True
    assert match_lesions(corner, corner) == LesionCounts(1, 0, 0)


def test_nothing_to_find() -> None:
    empty, some = line("....."), line(".##..")
    assert match_lesions(empty, empty) == LesionCounts(0, 0, 0)
    assert match_lesions(empty, empty).f1 is None
    assert match_lesions(some, empty).f1 == 0.0
    assert match_lesions(empty, some).f1 == 0.0


def test_specks_do_not_square_the_cost() -> None:
    random = np.random.default_rng(0)
    predicted = random.random((300, 300)) < 0.05
    actual = np.zeros_like(predicted)
    actual[100:140, 100:140] = True
    counts = match_lesions(predicted, actual)
    assert (counts.found, counts.missed) == (0, 1)
    assert counts.false > 2000
