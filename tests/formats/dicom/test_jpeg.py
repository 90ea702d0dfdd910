"""Lossless JPEG, which hospitals have: every precision and predictor, whole or refused."""

import itertools
import random

import numpy as np
import pytest
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGLossless, JPEGLosslessSV1

from .lossless import encode


def put(data, frames, precision, samples=1, syntax=JPEGLossless):
    """Replace the pixels of a data set by lossless JPEG frames."""
    data.file_meta.TransferSyntaxUID = syntax
    data.BitsAllocated = 16 if precision > 8 else 8
    data.BitsStored, data.HighBit = precision, precision - 1
    data.SamplesPerPixel = samples
    if samples == 3:
        data.PhotometricInterpretation, data.PlanarConfiguration = "RGB", 0
    data.RescaleIntercept = 0
    data.PixelData = encapsulate(frames)
    data["PixelData"].is_undefined_length = True


def picture(precision, samples=1, seed=0):
    values = np.random.default_rng(seed).integers(0, 1 << precision, (4, 6, samples), np.uint32)
    values[0, :2], values[1] = [[0], [(1 << precision) - 1]], 0  # the largest differences too
    return values


@pytest.mark.parametrize("samples", [1, 3])
@pytest.mark.parametrize("precision", [8, 10, 12, 15, 16])
def test_all_predictors_point_transforms_and_restarts(write_series, ingest, precision, samples):
    cases = list(itertools.product(range(1, 8), (0, 2), (0, 1, 3)))

    def change(data, index):
        predictor, point, restart = cases[index]
        frame = encode(picture(precision, samples, index), precision, predictor, point, restart)
        put(data, [frame], precision, samples)

    write_series(len(cases), change=change)
    (sample,) = ingest().samples
    for index, (_, point, _) in enumerate(cases):
        expected = picture(precision, samples, index) >> point << point
        np.testing.assert_array_equal(
            sample.arrays["image"][:, index], expected.transpose(2, 0, 1), str(cases[index])
        )


def test_signed_values_take_their_sign_from_the_stored_bits(write_series, ingest):
    values = np.linspace(-2048, 2047, 24).astype(int).reshape(4, 6)

    def change(data, index):
        put(data, [encode(values % 4096, 12)], 12, syntax=JPEGLosslessSV1)
        data.PixelRepresentation = 1

    write_series(3, change=change)
    (sample,) = ingest().samples
    np.testing.assert_array_equal(sample.arrays["image"][0, 1], values)


def test_a_frame_that_breaks_off_is_refused(write_series, ingest):
    # libjpeg would fill it up with grey, and say nothing.
    def change(data, index):
        frame = encode(picture(12), 12)
        put(data, [frame[: -8 if index == 1 else None]], 12)

    write_series(3, change=change)
    (error,) = ingest().errors
    assert error.code == "truncated-pixels"


def test_mutated_streams_decode_or_are_refused(write_series, ingest, tmp_path):
    chance = random.Random(0)
    frame = encode(picture(16), 16)

    def change(data, index):
        data.SeriesInstanceUID, data.SOPInstanceUID = f"1.2.8.{index}", f"1.2.8.{index}.1"
        mutated = bytearray(frame)
        for _ in range(chance.randint(1, 4)):
            mutated[chance.randrange(len(mutated))] = chance.randrange(256)
        put(data, [bytes(mutated)], 16)

    write_series(150, change=change)
    found = ingest(select={"min_slices": 1})
    assert len(found.samples) + len(found.errors) == 150
    codes = {error.code for error in found.errors}
    assert codes <= {"undecodable", "codestream-mismatch", "truncated-pixels"}
    assert len(found.errors) > 20
