"""Several files of one SOP instance: compared, and none of them costs another."""

from typing import Any

import numpy as np
import pytest
from pydicom.uid import JPEGLSLossless


def test_copies_are_compared_pixel_by_pixel(write_series, ingest, tmp_path):
    write_series(4)

    def recompress(data, index):
        data.compress(JPEGLSLossless, generate_instance_uid=False)

    write_series(2, folder="again", change=recompress)
    assert ingest().codes == {"rejected-duplicate": 2}

    def alter(data, index):
        data.PixelData = bytes(len(data.PixelData))

    write_series(1, folder="altered", change=alter)
    (error,) = ingest().errors
    assert error.code == "conflicting-duplicates"


def spoil(path):
    """Damage the compressed pixels of a file behind its header, so that only decoding finds it."""
    raw = bytearray(path.read_bytes())
    at = raw.rindex(b"\xff\xda") + 12
    raw[at : at + 40] = b"\xff\x7f" * 20
    path.write_bytes(raw)


def lossless(data, index):
    data.compress(JPEGLSLossless, generate_instance_uid=False)


@pytest.mark.parametrize("spoilt", ["a", "again"])
def test_a_copy_that_cannot_be_decoded_costs_nothing(
    write_series, ingest, tmp_path, stored_plane, spoilt
):
    for folder in ("a", "again"):  # the copy, or what it is a copy of
        write_series(4, folder=folder, change=lossless)
    spoil(tmp_path / "source" / spoilt / "IM002")
    found = ingest()
    assert found.codes == {"rejected-duplicate": 4}
    (sample,) = found.samples
    expected = np.stack([stored_plane(index).astype(int) - 1024 for index in range(4)])
    np.testing.assert_array_equal(sample.arrays["image"][0], expected)


@pytest.mark.parametrize("cut", ["a", "again"])
def test_a_truncated_copy_is_refused_by_itself(write_series, ingest, tmp_path, cut):
    for folder in ("a", "again"):
        write_series(4, folder=folder)
    path = tmp_path / "source" / cut / "IM001"
    path.write_bytes(path.read_bytes()[:-9])
    found = ingest()
    assert found.codes == {"rejected-duplicate": 3, "truncated-pixels": 1}
    assert (len(found.samples), found.taken) == (1, 4)


def test_one_undecodable_file_without_a_copy_still_costs_the_series(write_series, ingest, tmp_path):
    write_series(4, change=lossless)
    spoil(tmp_path / "source" / "a" / "IM002")
    (error,) = ingest().errors
    assert error.code in ("undecodable", "truncated-pixels")


def test_copies_that_lie_elsewhere_are_no_copies(write_series, ingest):
    write_series(4)
    write_series(4, folder="b", RescaleSlope=2)
    (error,) = ingest().errors
    assert error.code == "conflicting-duplicates"


@pytest.mark.parametrize("shared", [4, 2])
def test_slices_that_share_their_instance_uid_are_no_copies(
    write_series, ingest, shared: int
) -> None:
    """As some anonymisers leave them: they were passed over, and the rest was one slice."""

    def share(data: Any, index: int) -> None:
        if index < shared:
            data.SOPInstanceUID = "1.2.3.4.99"

    write_series(4, change=share)
    made = ingest()
    assert not made.samples
    ((code, kind, files),) = {(one.code, one.kind, one.files) for one in made.refused}
    assert (code, kind, files) == ("conflicting-duplicates", "quarantined", 4)
