"""Images with masks have the classes that folders name."""

from pathlib import Path

from medray.formats.image import Image
from tests.formats.test_image import grid, planned, read, save


def test_images_with_masks_have_classes_by_folder(tmp_path: Path) -> None:
    for name in ("sick/a.png", "well/a.png", "other/b.png", "c.png"):
        for folder in ("images", "masks"):
            (tmp_path / folder / name).parent.mkdir(parents=True, exist_ok=True)
            save(tmp_path / folder / name, grid() % 2)
    asked = {"layout": "masks", "classes": ["well", "sick"]}
    assert [one.row["target"] for one in read(tmp_path, **asked)] == [1, 0]
    assert [one.row["class_name"] for one in read(tmp_path, **asked)] == ["sick", "well"]
    _, plan = planned(tmp_path, **asked)
    assert {(one.source, one.code) for one in plan.refused} == {
        ("other_b", "no-class"),
        ("c", "no-class"),
    }
    holds = Image(Image.Options.model_validate(asked)).holds()
    assert not holds.without("target")
    assert holds.classes == ("well", "sick")
