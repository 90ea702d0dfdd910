import io

import numpy as np
import pytest
from PIL import Image

from medray.modalities.image.overlay import COLOURS, best_slice, draw_overlay, encode_png, flips


def test_the_slice_with_most_label_is_shown() -> None:
    truth, predicted = np.zeros((2, 6, 5, 5), np.uint8)
    truth[1, :2, :2] = 1
    predicted[4, 1:4, 1:4] = 2
    assert best_slice([truth, predicted]) == 4
    assert best_slice([truth]) == 1
    assert best_slice([np.zeros((6, 5, 5), np.uint8)]) == 3


@pytest.mark.parametrize(
    ("columns", "want"),
    [
        ([[1, 0], [0, 1]], (True, True)),  # RAS: front and right are at the high ends
        ([[-1, 0], [0, -1]], (False, False)),  # LPS, as DICOM stores axial slices
        ([[0.9, 0.2], [-0.2, -0.9]], (False, True)),
        ([[0, 1], [1, 0]], (False, False)),  # not axial
    ],
)
def test_front_is_up_and_right_is_left(columns: list[list[float]], want: tuple[bool, bool]) -> None:
    affine = np.eye(4)
    affine[:2, :2] = columns
    assert flips(affine.ravel().tolist()) == want


def test_labels_are_drawn_where_they_are_in_their_colour() -> None:
    image = np.tile(np.linspace(0, 1000, 40), (20, 1))
    labels = np.zeros((20, 40), np.uint8)
    labels[2:6, 4:12] = 1
    labels[12:18, 20:36] = 2
    drawn = draw_overlay(image, labels, spacing_mm=(2.0, 1.0), width=160)
    assert drawn.shape == (160, 160, 3)
    edge, inside, outside = drawn[16, 30], drawn[30, 30], drawn[80, 10]
    assert tuple(edge) == COLOURS[0]
    assert tuple(drawn[96, 100]) == COLOURS[1]
    assert tuple(outside) == (outside[0],) * 3
    assert tuple(inside) != COLOURS[0]
    assert inside[0] > inside[2]
    turned = draw_overlay(image, labels, spacing_mm=(2.0, 1.0), turn=(True, False), width=160)
    np.testing.assert_array_equal(
        (turned == COLOURS[0]).all(axis=2), (drawn == COLOURS[0]).all(axis=2)[::-1]
    )


def test_a_flat_image_is_black_and_rgb_is_kept() -> None:
    assert draw_overlay(np.full((4, 4), 7.0), None, width=8).max() == 0
    rgb = np.random.default_rng(0).integers(0, 256, (16, 16, 3)).astype(np.uint8)
    np.testing.assert_array_equal(draw_overlay(rgb, None, width=16), rgb)


def test_png_reads_back_and_repeats() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (9, 7, 3)).astype(np.uint8)
    data = encode_png(pixels)
    assert data == encode_png(pixels)
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(data))), pixels)
