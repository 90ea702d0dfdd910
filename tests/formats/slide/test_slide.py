"""Slides of TIFF: levels, sizes of pixels, tiles against tifffile's own pixels, and refusals."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tifffile import TiffFile, TiffWriter, imread

from medray.errors import DataError, SpecError
from medray.formats.base import Source
from medray.formats.slide import Slides
from medray.formats.slide.levels import Slide
from medray.formats.slide.tiff import open_tiff
from medray.formats.slide.tiles import Grid
from medray.storage.shards.reader import Shard
from medray.storage.shards.records import Refusal
from medray.storage.shards.samples import Sample, Slabs
from medray.storage.shards.writer import ShardWriter
from medray.storage.store.objects import Objects
from tests.contract.slide_examples import halved, picture, pyramid
from tests.stored import found

APERIO = "Aperio Image Library v11.2.1 \n{w}x{h} (16x16) JPEG/RGB Q=30|AppMag = 20|User = CANARY"


def read(root: Path, **options: Any) -> list[Sample | Refusal]:
    form = Slides(Slides.Options.model_validate({"tile": 16, "mpp": 0.25} | options))
    plan = form.plan(Source(root))
    made = [one for group in plan.groups for item in group for one in form.read(Source(root), item)]
    return [*made, *plan.refused]


def svs(path: Path, mpp: str = "|MPP = 0.2500") -> np.ndarray:
    """As Aperio's scanners write: base, thumbnail in strips, coarser level, label, macro."""
    whole = picture()
    text = APERIO.format(w=80, h=96) + mpp
    with TiffWriter(path) as file:
        file.write(whole, photometric="rgb", tile=(16, 16), description=text, metadata=None)
        file.write(
            halved(whole),
            photometric="rgb",
            rowsperstrip=8,
            metadata=None,
            description=f"Aperio Image Library v11.2.1 \n80x96 -> 40x48 - |{text}",
        )
        file.write(
            halved(halved(whole)),
            photometric="rgb",
            tile=(16, 16),
            metadata=None,
            description=f"Aperio Image Library v11.2.1 \n80x96 -> 20x24 |{text}",
        )
        for name, kind in (("label", 1), ("macro", 9)):
            # In tiles and of the slide's own shape, so that its name alone gives it away.
            file.write(
                np.zeros((12, 10, 3), np.uint8),
                photometric="rgb",
                tile=(16, 16),
                subfiletype=kind,
                metadata=None,
                description=f"Aperio Image Library v11.2.1\n{name} 10x12",
            )
    return whole


def test_levels_of_svs_are_its_tiled_pages_and_nothing_of_its_label(tmp_path: Path) -> None:
    svs(tmp_path / "a.svs")
    with open_tiff(tmp_path / "a.svs") as slide:
        assert [(one.width, one.height) for one in slide.levels] == [(80, 96), (20, 24)]
        assert (slide.mpp, slide.kind) == (0.25, "SVS")


def test_tiles_are_the_pixels_of_the_file(tmp_path: Path) -> None:
    whole = svs(tmp_path / "a.svs")
    (sample,) = read(tmp_path, min_tissue=0, saturation=0)
    assert isinstance(sample, Sample)
    assert sample.row["rows"], sample.row["columns"] == (6, 5)
    assert sample.row["tiles"] == 30
    assert sample.row["tiles_without_tissue"] == 0
    for tile, (row, column) in zip(sample.arrays["tiles"], sample.arrays["places"], strict=True):
        own = whole[16 * row : 16 * row + 16, 16 * column : 16 * column + 16]
        np.testing.assert_array_equal(tile, np.moveaxis(own, -1, 0))
    flat = whole.reshape(-1, 3)
    np.testing.assert_allclose(sample.row["tile_mean"], flat.mean(0))
    np.testing.assert_allclose(sample.row["tile_std"], flat.std(0))


def test_tissue_alone_is_taken_and_the_rest_is_counted(tmp_path: Path) -> None:
    svs(tmp_path / "a.svs")
    (sample,) = read(tmp_path, min_tissue=0.5)
    # The stained square has rows 32 to 63 and columns 26 to 52, and the overview half the pixels:
    # of the tiles in column 1 it sees 3 of 8, of those in column 3 the 2 that are wholly stained.
    assert sample.arrays["places"].tolist() == [[2, 2], [3, 2]]
    assert sample.row["tiles_without_tissue"] == 28
    (more,) = read(tmp_path, min_tissue=0.25)
    assert more.arrays["places"].tolist() == [[r, c] for r in (2, 3) for c in (1, 2, 3)]


def test_nothing_that_names_a_person_is_kept(tmp_path: Path) -> None:
    svs(tmp_path / "a.svs")
    (sample,) = read(tmp_path)
    assert "CANARY" not in repr(sample.row)


def test_a_slide_that_tells_no_size_needs_it_by_option(tmp_path: Path) -> None:
    svs(tmp_path / "a.svs", mpp="")
    with pytest.raises(DataError, match="no-mpp"):
        read(tmp_path)
    (sample,) = read(tmp_path, slide_mpp=0.125)
    assert (sample.row["side"], sample.row["slide_mpp"]) == (32.0, 0.125)


@pytest.mark.parametrize("unit", [2, 3])
def test_resolutions_tell_the_size_of_pixels_but_not_of_prints(tmp_path: Path, unit: int) -> None:
    whole = picture()
    centimetre = {2: 2.54, 3: 1.0}[unit]
    for name, dots in (("a.tif", 20_000 * centimetre), ("b.tif", 300 * centimetre / 2.54)):
        with TiffWriter(tmp_path / name) as file:
            file.write(
                whole,
                photometric="rgb",
                tile=(16, 16),
                metadata=None,
                resolution=(dots, dots),
                resolutionunit=unit,
            )
    with open_tiff(tmp_path / "a.tif") as slide:
        assert slide.mpp == pytest.approx(0.5)
    with open_tiff(tmp_path / "b.tif") as slide:
        assert slide.mpp is None


def test_ome_tiff_with_levels_below(tmp_path: Path) -> None:
    whole = picture()
    with TiffWriter(tmp_path / "a.ome.tif", ome=True) as file:
        told = {
            "axes": "YXS",
            "PhysicalSizeX": 500,
            "PhysicalSizeXUnit": "nm",
            "PhysicalSizeY": 0.5,
            "PhysicalSizeYUnit": "µm",
        }
        file.write(whole, photometric="rgb", tile=(16, 16), subifds=1, metadata=told)
        file.write(halved(whole), photometric="rgb", tile=(16, 16), subfiletype=1)
    with open_tiff(tmp_path / "a.ome.tif") as slide:
        assert slide.mpp == pytest.approx(0.5)
        assert slide.kind == "OME-TIFF"
        assert [one.width for one in slide.levels] == [80, 40]
        np.testing.assert_array_equal(slide.levels[1].box(0, 0, 40, 48), halved(whole))


def test_a_coarser_level_is_read_as_it_is(tmp_path: Path) -> None:
    whole = picture()
    pyramid(tmp_path / "a.tif", [whole, halved(whole)], 0.25)
    (sample,) = read(tmp_path, mpp=0.5, min_tissue=0, saturation=0)
    assert (sample.row["level"], sample.row["mpp"], sample.row["side"]) == (1, 0.5, 32.0)
    tile = sample.arrays["tiles"][sample.arrays["places"].tolist().index([1, 1])]
    np.testing.assert_array_equal(np.moveaxis(tile, 0, -1), halved(whole)[16:32, 16:32])


def test_scaling_keeps_a_ramp(tmp_path: Path) -> None:
    # Colours rise by 1 a pixel: at 1.5 pixels a step the n-th is at 1.5 n + 0.25 of its tile.
    ramp = np.broadcast_to(np.arange(96, dtype=np.uint8)[None, :, None], (48, 96, 3)).copy()
    pyramid(tmp_path / "a.tif", [ramp], 0.5)
    with open_tiff(tmp_path / "a.tif") as slide:
        grid = Grid.of(slide, 0.5, 0.75, 16)
        assert (grid.side, grid.rows, grid.columns) == (24.0, 2, 4)
        values = grid.read(0, 1)[0, 8]
    inner = slice(2, 14)  # at its edges the filter sees less
    wanted = 24 + 1.5 * np.arange(16) + 0.25
    np.testing.assert_allclose(values[inner], wanted[inner], atol=0.75)


def test_a_damaged_tile_is_refused_by_itself(tmp_path: Path) -> None:
    whole = picture()
    pyramid(tmp_path / "a.tif", [whole], 0.25, compression="deflate")
    with TiffFile(tmp_path / "a.tif") as file:
        at = file.pages[0].dataoffsets[2 * 5 + 2]
    raw = bytearray((tmp_path / "a.tif").read_bytes())
    raw[at : at + 8] = b"\xff" * 8
    (tmp_path / "a.tif").write_bytes(raw)
    sample, refusal = read(tmp_path, min_tissue=0.9)
    assert isinstance(sample, Sample)
    assert isinstance(refusal, Refusal)
    assert (refusal.code, refusal.sample) == ("damaged-tile", "a:2:2")
    assert sample.row["damaged"] == [0]
    assert (sample.arrays["tiles"][0] == 255).all()
    sound = sample.arrays["tiles"][1:]
    np.testing.assert_allclose(sample.row["tile_mean"], sound.mean((0, 2, 3)))


def test_many_tiles_come_in_slabs_and_damage_is_told_behind_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, objects: Objects
) -> None:
    for room in ("medray.formats.slide", "medray.formats.slide.tiles"):
        monkeypatch.setattr(f"{room}.SLAB_BYTES", 4 * 768)
    whole = picture()
    (tmp_path / "in").mkdir()
    pyramid(tmp_path / "in/a.tif", [whole], 0.25, compression="deflate")
    with TiffFile(tmp_path / "in/a.tif") as file:
        at = file.pages[0].dataoffsets[17]
    raw = bytearray((tmp_path / "in/a.tif").read_bytes())
    raw[at : at + 8] = b"\xff" * 8
    (tmp_path / "in/a.tif").write_bytes(raw)
    options = {"tile": 16, "mpp": 0.25, "min_tissue": 0, "saturation": 0}
    form, source = Slides(Slides.Options.model_validate(options)), Source(tmp_path / "in")
    ((item,),) = form.plan(source).groups
    writer = ShardWriter(objects, "shard", form.arrays())
    refused = []
    for one in form.read(source, item):
        if isinstance(one, Sample):
            assert isinstance(one.arrays["tiles"], Slabs)
            writer.add(one)
        else:
            refused.append(one.sample)
    writer.finish()
    assert refused == ["a:3:2"]
    stored = Shard(objects, found(objects, "shard")).sample(0)
    assert stored.row["damaged"] == [17]
    tiles = stored.arrays["tiles"]
    assert tiles.shape == (30, 3, 16, 16)
    np.testing.assert_array_equal(tiles[29], np.moveaxis(whole[80:, 64:], -1, 0))
    sound = np.delete(tiles, 17, 0)
    np.testing.assert_allclose(stored.row["tile_mean"], sound.mean((0, 2, 3)))


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"dtype": np.uint16, "photometric": "rgb"}, "unsupported-colour"),
        ({"dtype": np.uint8, "photometric": "minisblack"}, "unsupported-colour"),
        ({"dtype": np.uint8, "photometric": "rgb", "planarconfig": "separate"},
         "unsupported-colour"),
    ],
)  # fmt: skip
def test_what_is_no_stained_slide_is_refused(
    tmp_path: Path, options: dict[str, Any], code: str
) -> None:
    pixels = np.zeros((32, 32, 3), options.pop("dtype"))
    if options["photometric"] == "minisblack":
        pixels = pixels[..., 0]
    if options.get("planarconfig"):
        pixels = np.moveaxis(pixels, -1, 0)
    with TiffWriter(tmp_path / "a.tif") as file:
        file.write(pixels, tile=(16, 16), metadata=None, **options)
    with pytest.raises(DataError, match=code):
        read(tmp_path)


def test_empty_glass_is_refused(tmp_path: Path) -> None:
    pyramid(tmp_path / "a.tif", [np.full((64, 64, 3), 240, np.uint8)], 0.25)
    with pytest.raises(DataError, match="no-tissue"):
        read(tmp_path)


def test_pixels_that_are_not_square_are_refused(tmp_path: Path) -> None:
    with TiffWriter(tmp_path / "a.tif") as file:
        file.write(
            picture(),
            photometric="rgb",
            tile=(16, 16),
            metadata=None,
            resolution=(40_000, 20_000),
            resolutionunit=3,
        )
    with pytest.raises(DataError, match="uneven-pixels"):
        read(tmp_path)


def test_classes_by_folder_and_by_table(tmp_path: Path) -> None:
    for name in ("sick/a.tif", "well/b.tif", "c.tif"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        pyramid(tmp_path / name, [picture()], 0.25)
    *taken, refused = read(tmp_path, layout="folders", classes=["well", "sick"])
    assert {one.id: one.row["target"] for one in taken} == {"sick_a": 1, "well_b": 0}
    assert (refused.source, refused.code) == ("c.tif", "no-class")
    lines = ["file,label,split", "sick/a.tif,sick,train", "well/b.tif,?,test", "d.tif,well,test"]
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    first, *rest = read(tmp_path, layout="csv", classes=["well", "sick"])
    assert (first.row["target"], first.row["split"]) == (1, "train")
    assert {one.source: one.code for one in rest} == {
        "c.tif": "not-in-table", "well/b.tif": "bad-label", "d.tif": "missing-file",
    }  # fmt: skip
    with pytest.raises(SpecError, match="bad-table"):
        read(tmp_path, layout="csv", classes=["well", "sick"], label_column="none")


@pytest.mark.real_data
def test_the_region_of_cmu_1(data_dir: Path) -> None:
    path = data_dir / "imaging/wsi/CMU-1-Small-Region.svs"
    whole = imread(path)
    with open_tiff(path) as slide:
        assert isinstance(slide, Slide)
        assert [(one.width, one.height) for one in slide.levels] == [(2220, 2967)]
        assert slide.mpp == 0.499
        grid = Grid.of(slide, 0.499, 0.5, 256)
        assert (grid.mpp, grid.rows, grid.columns) == (0.499, 12, 9)
        np.testing.assert_array_equal(
            np.moveaxis(grid.read(3, 4), 0, -1), whole[768:1024, 1024:1280]
        )
        edge = np.moveaxis(grid.read(11, 8), 0, -1)
    np.testing.assert_array_equal(edge[:151, :172], whole[2816:, 2048:])
    assert (edge[151:] == 255).all()
    assert (edge[:, 172:] == 255).all()
