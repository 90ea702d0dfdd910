"""Slides in DICOM: a file for each level; pixels against highdicom's total pixel matrix."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medray.errors import DataError
from medray.formats.base import Source
from medray.formats.slide import Slides
from medray.formats.slide.wsi import open_wsi
from medray.storage.shards.records import Refusal
from medray.storage.shards.samples import Sample
from tests.contract.slide_examples import halved, picture, write_level


def read(root: Path, **options: Any) -> list[Sample | Refusal]:
    form = Slides(Slides.Options.model_validate({"tile": 16, "mpp": 0.25} | options))
    plan, source = form.plan(Source(root)), Source(root)
    made = [one for group in plan.groups for item in group for one in form.read(source, item)]
    return [*made, *plan.refused]


def test_a_series_is_a_slide_and_its_label_is_passed_over(tmp_path: Path) -> None:
    whole = picture()
    write_level(tmp_path / "b.dcm", halved(whole), 0.5)
    write_level(tmp_path / "a.dcm", whole)
    write_level(tmp_path / "label.dcm", np.zeros((16, 16, 3), np.uint8), kind="LABEL")
    sample, refused = read(tmp_path, mpp=0.5, min_tissue=0, saturation=0)
    assert isinstance(sample, Sample)
    assert (refused.source, refused.code, refused.kind) == (
        "label.dcm", "no-volume", "passed-over",
    )  # fmt: skip
    assert (sample.id, sample.row["kind"], sample.row["level"]) == ("a", "DICOM", 1)
    assert (sample.row["width"], sample.row["height"], sample.row["side"]) == (80, 96, 32.0)
    assert "CANARY" not in repr(sample.row)
    tile = sample.arrays["tiles"][sample.arrays["places"].tolist().index([1, 1])]
    np.testing.assert_array_equal(np.moveaxis(tile, 0, -1), halved(whole)[16:32, 16:32])


def test_what_is_not_stored_is_glass(tmp_path: Path) -> None:
    whole = picture()
    write_level(tmp_path / "a.dcm", whole, sparse={(2, 2), (3, 1)})
    with open_wsi([tmp_path / "a.dcm"]) as slide:
        assert slide.mpp == pytest.approx(0.25)
        found = slide.levels[0].box(0, 0, 80, 96)
    wanted = np.full_like(whole, 255)
    for row, column in ((2, 2), (3, 1)):
        box = np.s_[16 * row : 16 * row + 16, 16 * column : 16 * column + 16]
        wanted[box] = whole[box]
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"ConcatenationUID": "1.2"}, "concatenated"),
        ({"TotalPixelMatrixFocalPlanes": 3}, "several-planes"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "unsupported-colour"),
        ({"NumberOfFrames": 7}, "damaged-slide"),
        ({"SharedFunctionalGroupsSequence": []}, "no-mpp"),
    ],
)
def test_what_is_not_read_is_refused_by_name(
    tmp_path: Path, more: dict[str, Any], code: str
) -> None:
    write_level(tmp_path / "a.dcm", picture(), **more)
    with pytest.raises(DataError, match=code):
        read(tmp_path)


def test_two_files_of_one_level_are_refused(tmp_path: Path) -> None:
    for name in "ab":
        write_level(tmp_path / f"{name}.dcm", picture())
    with pytest.raises(DataError, match="concatenated"):
        read(tmp_path)


def test_frames_that_are_cut_off_are_damaged_tiles(tmp_path: Path) -> None:
    write_level(tmp_path / "a.dcm", picture())
    raw = (tmp_path / "a.dcm").read_bytes()
    (tmp_path / "a.dcm").write_bytes(raw[: -768 * 3])
    sample, *refused = read(tmp_path, min_tissue=0, saturation=0)
    assert sample.row["damaged"] == [27, 28, 29]
    assert [one.sample for one in refused] == ["a:5:2", "a:5:3", "a:5:4"]


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["sm_image", "sm_image_jpegls", "sm_image_control"])
def test_pixels_are_those_of_highdicom(data_dir: Path, name: str) -> None:
    from highdicom import imread

    path = data_dir / f"imaging/dicom_seg_highdicom/{name}.dcm"
    wanted = imread(path).get_total_pixel_matrix(apply_icc_profile=False)
    with open_wsi([path]) as slide:
        assert slide.mpp == pytest.approx(0.499)
        np.testing.assert_array_equal(slide.levels[0].box(0, 0, 50, 50), wanted)


@pytest.mark.real_data
def test_a_folder_of_other_dicom_is_accounted_for(data_dir: Path) -> None:
    form = Slides(Slides.Options())
    plan = form.plan(Source(data_dir / "imaging/dicom_seg_highdicom"))
    kinds = {one.source: one.code for one in plan.refused}
    assert kinds["ct_image.dcm"] == kinds["sm_annotations.dcm"] == "other-kind"
    taken = {path for group in plan.groups for item in group for path in item.paths}
    assert "sm_image.dcm" in taken
    assert not taken & set(kinds)
