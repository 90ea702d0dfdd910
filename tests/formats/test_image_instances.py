"""Pictures with numbered instances: a label image each, or a file for each instance."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from medray.errors import DataError, SpecError
from medray.formats.base import Found, Source
from medray.formats.image import Image
from medray.storage.shards.samples import Sample


def planned(root: Path, **options: Any) -> tuple[Image, Found]:
    form = Image(Image.Options(layout="instances", **options))
    return form, form.plan(Source(root))


def read(root: Path, **options: Any) -> list[Sample]:
    form, plan = planned(root, **options)
    items = [item for group in plan.groups for item in group]
    return [sample for item in items for sample in form.read(Source(root), item)]


def save(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Pillow.fromarray(values).save(path)


def mask(*columns: int) -> np.ndarray:
    made = np.zeros((3, 6), np.uint8)
    made[:, list(columns)] = 255
    return made


def picture(root: Path, name: str, *masks: np.ndarray) -> None:
    opaque = np.full((3, 6, 4), 255, np.uint8)
    opaque[..., :3] = np.arange(18, dtype=np.uint8).reshape(3, 6, 1) * 9
    save(root / name / "images" / f"{name}.png", opaque)
    for number, one in enumerate(masks):
        save(root / name / "masks" / f"m{number}.png", one)


def test_a_folder_for_each_picture(tmp_path: Path) -> None:
    picture(tmp_path, "a", mask(0, 1), mask(1, 2), mask(5))
    (sample,) = read(tmp_path, colour="grey")
    assert sample.id == "a"
    label = sample.arrays["label"]
    assert label.dtype == np.uint16
    assert label.tolist() == [[1, 1, 2, 0, 0, 3]] * 3, "a pixel of two masks is the first one's"
    assert (sample.arrays["image"] == np.arange(18).reshape(1, 3, 6) * 9).all()
    (sample,) = read(tmp_path)
    assert sample.arrays["image"].shape == (3, 3, 6), "its colours are kept unless it is told so"


def test_label_images_of_the_pictures_names(tmp_path: Path) -> None:
    label = np.arange(18, dtype=np.uint16).reshape(3, 6) * 40
    save(tmp_path / "images" / "a.png", mask(1))
    save(tmp_path / "masks" / "a.tif", label)
    (sample,) = read(tmp_path, colour="grey")
    assert (sample.arrays["label"] == label).all()
    assert (sample.arrays["image"] == mask(1)).all()


def test_grey_is_luma(tmp_path: Path) -> None:
    colours = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [10, 20, 30]]], np.uint8)
    save(tmp_path / "images" / "a.png", colours)
    save(tmp_path / "masks" / "a.png", np.ones((1, 4), np.uint8))
    (sample,) = read(tmp_path, colour="grey")
    assert sample.arrays["image"].tolist() == [[[76, 150, 29, 18]]]  # BT.601, rounded


@pytest.mark.parametrize(
    ("masks", "code"),
    [
        ([mask(0), mask()], "empty-instance"),
        ([mask(0, 1), mask(1)], "empty-instance"),
        ([np.ones((3, 5), np.uint8)], "label-grid-mismatch"),
    ],
)
def test_masks_of_which_nothing_would_be_left_are_refused(
    tmp_path: Path, masks: list[np.ndarray], code: str
) -> None:
    picture(tmp_path, "a", *masks)
    with pytest.raises(DataError) as caught:
        read(tmp_path)
    assert caught.value.code == code
    assert caught.value.about == f"m{len(masks) - 1}.png"


def test_every_file_is_accounted_for(tmp_path: Path) -> None:
    picture(tmp_path, "whole", mask(0))
    picture(tmp_path, "bare")
    picture(tmp_path, "twice", mask(0))
    save(tmp_path / "twice" / "images" / "other.png", mask(1))
    save(tmp_path / "masks-only" / "masks" / "m.png", mask(1))
    save(tmp_path / "lost.png", mask(1))
    _, plan = planned(tmp_path)
    assert [item.key for group in plan.groups for item in group] == ["whole"]
    assert {(one.source, one.code) for one in plan.refused} == {
        ("bare", "no-label"),
        ("twice", "ambiguous-label"),
        ("masks-only", "no-image"),
        ("lost.png", "other-folder"),
    }
    with pytest.raises(SpecError, match="nothing-found"):
        planned(tmp_path, images="pictures", masks="nuclei")
