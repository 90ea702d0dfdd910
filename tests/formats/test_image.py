"""PNG, JPEG, TIFF and MedMNIST: exact values, or a refusal."""

import csv
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image as Pillow

from medray.errors import DataError, SpecError
from medray.formats.base import Found, Source
from medray.formats.image import Image
from medray.storage.shards.samples import Sample


def planned(root: Path, **options: Any) -> tuple[Image, Found]:
    form = Image(Image.Options(**options))
    return form, form.plan(Source(root))


def read(root: Path, **options: Any) -> list[Sample]:
    form, plan = planned(root, **options)
    items = [item for group in plan.groups for item in group]
    return [sample for item in items for sample in form.read(Source(root), item)]


def refusal(root: Path, **options: Any) -> str:
    with pytest.raises(DataError) as caught:
        read(root, **options)
    assert str(root) not in str(caught.value)
    return caught.value.code


def grid(dtype: str = "uint8", shape: tuple[int, ...] = (6, 9)) -> np.ndarray:
    high = np.iinfo(dtype).max
    return np.random.default_rng(0).integers(0, high, shape, dtype=dtype, endpoint=True)


def save(path: Path, values: np.ndarray, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Pillow.fromarray(values).save(path, **options)
    return path


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_grey_is_exact(tmp_path: Path, suffix: str, dtype: str) -> None:
    save(tmp_path / f"a{suffix}", grid(dtype))
    (sample,) = read(tmp_path, pixel_mm=(0.5, 0.25))
    assert sample.arrays["image"].dtype == np.dtype(dtype)
    assert np.array_equal(sample.arrays["image"], grid(dtype)[None])
    assert sample.row["spacing_mm"] == [0.5, 0.25]
    assert sample.row["has_label"] is False


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("dtype", ["u2", "i2", "i4", "f4"])
def test_tiffs_of_microscopes(tmp_path: Path, order: str, dtype: str) -> None:
    values = np.random.default_rng(0).normal(0, 1000, (6, 9)).astype(dtype)
    tifffile.imwrite(tmp_path / "a.tif", values, byteorder=order)
    (sample,) = read(tmp_path)
    assert np.array_equal(sample.arrays["image"][0], values)
    assert sample.arrays["image"].dtype.isnative


def test_colour_comes_channels_first(tmp_path: Path) -> None:
    colour = grid(shape=(6, 9, 3))
    save(tmp_path / "a.png", colour)
    opaque = np.dstack([colour, np.full((6, 9), 255, np.uint8)])
    save(tmp_path / "b.png", opaque)
    Pillow.fromarray(colour).quantize(256).save(tmp_path / "c.png")
    for sample in read(tmp_path):
        assert sample.arrays["image"].shape == (3, 6, 9)
        assert np.array_equal(sample.arrays["image"], np.moveaxis(colour, -1, 0))


def test_what_would_lose_values_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(deep_png(grid("uint16", (6, 9, 3))))
    assert refusal(tmp_path) == "deep-colour"
    save(tmp_path / "a.png", grid(shape=(6, 9, 4)))
    assert refusal(tmp_path) == "transparent-image"


def deep_png(values: np.ndarray) -> bytes:
    """A 16-bit RGB PNG, which Pillow reads but does not write."""
    import zlib

    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], 16, 2, 0, 0, 0)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def png(depth: int, colour: int, rows: bytes, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG of one row of four pixels, built by hand."""
    import zlib

    made = b"\x89PNG\r\n\x1a\n"
    header = struct.pack(">IIBBBBB", 4, 1, depth, colour, 0, 0, 0)
    for kind, data in [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]:
        made += struct.pack(">I", len(data)) + kind + data
        made += struct.pack(">I", zlib.crc32(kind + data))
    return made


@pytest.mark.parametrize(("depth", "rows"), [(1, b"\0\x50"), (2, b"\0\x1b"), (4, b"\0\x01\x2f")])
def test_few_bits_are_not_stretched(tmp_path: Path, depth: int, rows: bytes) -> None:
    (tmp_path / "a.png").write_bytes(png(depth, 0, rows))
    (sample,) = read(tmp_path)
    want = {1: [0, 1, 0, 1], 2: [0, 1, 2, 3], 4: [0, 1, 2, 15]}[depth]
    assert sample.arrays["image"][0, 0].tolist() == want


def test_one_grey_that_stands_for_nothing(tmp_path: Path) -> None:
    clear = (b"tRNS", struct.pack(">H", 2))
    (tmp_path / "a.png").write_bytes(png(8, 0, b"\0\0\1\2\3", clear))
    assert refusal(tmp_path) == "transparent-image"
    (tmp_path / "a.png").write_bytes(png(8, 0, b"\0\0\1\7\3", clear))
    assert read(tmp_path)[0].arrays["image"][0, 0].tolist() == [0, 1, 7, 3]
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    (tmp_path / "a.png").rename(tmp_path / "images" / "a.png")
    (tmp_path / "masks" / "a.png").write_bytes(png(8, 0, b"\0\0\1\2\2", clear))
    (sample,) = read(tmp_path, layout="masks")  # of a mask the class counts, not how it is shown
    assert sample.arrays["label"].tolist() == [[0, 1, 2, 2]]


def test_moving_pictures_and_inks(tmp_path: Path) -> None:
    frames = [Pillow.fromarray(grid()), Pillow.fromarray(255 - grid())]
    frames[0].save(tmp_path / "a.png", save_all=True, append_images=frames[1:])
    assert refusal(tmp_path) == refusal(tmp_path, pages="volume") == "animated-image"
    (tmp_path / "a.png").unlink()
    Pillow.fromarray(grid(shape=(6, 9, 4)), "CMYK").save(tmp_path / "a.jpg")
    assert refusal(tmp_path) == "unsupported-colour"


def test_exif_turns_the_image_and_stays_behind(tmp_path: Path) -> None:
    exif = Pillow.Exif()
    exif[0x0112] = 6  # turn by 90 degrees
    exif[0x013B] = "CANARY NAME"
    save(tmp_path / "a.png", grid(), exif=exif)
    (sample,) = read(tmp_path)
    assert np.array_equal(sample.arrays["image"][0], np.rot90(grid(), -1))
    assert "CANARY" not in repr(sample)


def test_pages_are_refused_or_stacked(tmp_path: Path) -> None:
    pages = grid("uint16", (4, 6, 9))
    tifffile.imwrite(tmp_path / "a.tif", pages, photometric="minisblack")
    assert refusal(tmp_path) == "many-pages"
    (sample,) = read(tmp_path, pages="volume", page_mm=3.0)
    assert np.array_equal(sample.arrays["image"], pages[None])
    assert sample.row["spacing_mm"] == [3.0, 1.0, 1.0]
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        writer.write(pages[0])
        writer.write(pages[0, :3])
    assert refusal(tmp_path, pages="volume") == "uneven-pages"


def test_sizes_are_checked_before_pixels(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", grid())
    assert refusal(tmp_path, max_pixels=53) == "image-too-large"
    raw = bytearray(path.read_bytes())
    raw[16:24] = struct.pack(">II", 65535, 65535)
    path.write_bytes(raw)
    assert refusal(tmp_path) in ("image-too-large", "not-an-image")


def test_foreign_and_cut_files(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", grid(shape=(60, 90)))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert refusal(tmp_path) == "damaged-image"
    for raw in (b"", b"GIF89a" + bytes(100), b"\x89PNG\r\n\x1a\n"):
        path.write_bytes(raw)
        assert refusal(tmp_path) == "not-an-image"


def masked(root: Path, mask: np.ndarray) -> Path:
    save(root / "images" / "a.png", grid())
    save(root / "masks" / "a.png", mask)
    return root


def test_masks_are_mapped_to_classes(tmp_path: Path) -> None:
    mask = np.where(grid() > 128, 255, 0).astype(np.uint8)
    root = masked(tmp_path, mask)
    (sample,) = read(root, layout="masks", label_values={"0": 1, "255": 0})
    assert np.array_equal(sample.arrays["label"], mask == 0)
    assert sample.row["label_voxels"] == [int((mask == 255).sum()), int((mask == 0).sum())]
    assert refusal(root, layout="masks", label_values={0: 0}) == "unexpected-label"
    indexed = Pillow.fromarray((grid() % 3).astype(np.uint8))
    indexed.putpalette([200, 0, 0, 0, 200, 0, 0, 0, 200])
    indexed.save(root / "masks" / "a.png")
    assert indexed.mode == "P"
    (sample,) = read(root, layout="masks")
    assert np.array_equal(sample.arrays["label"], grid() % 3)  # indices, not colours


def test_masks_that_do_not_fit(tmp_path: Path) -> None:
    assert refusal(masked(tmp_path, grid(shape=(6, 8))), layout="masks") == "label-grid-mismatch"
    assert refusal(masked(tmp_path, grid(shape=(6, 9, 3))), layout="masks") == "coloured-mask"


def test_every_mask_and_image_is_accounted_for(tmp_path: Path) -> None:
    root = masked(tmp_path, grid() % 2)
    save(root / "images" / "b.png", grid())
    save(root / "masks" / "c.png", grid())
    save(root / "images" / "a.tif", grid())
    _, plan = planned(root, layout="masks")
    assert {(one.source, one.code) for one in plan.refused} >= {
        ("b", "no-label"),
        ("masks/c.png", "no-image"),
    }
    counted = sum(len(group) for group in plan.groups) + len(plan.refused)
    assert counted == 4
    with pytest.raises(SpecError, match="nothing-found"):
        planned(root, layout="masks", images="elsewhere", labels="none")


def test_names_that_match_two_ways(tmp_path: Path) -> None:
    root = masked(tmp_path, grid() % 2)
    save(root / "masks" / "a.tif", grid() % 2)
    save(root / "images" / "x" / "b.png", grid())
    save(root / "masks" / "x_b.png", grid() % 2)
    (root / "images" / "c.bmp").write_bytes(b"BM")
    (root / "masks" / "._a.png").write_bytes(b"left by an archiver")
    _, plan = planned(root, layout="masks")
    assert not plan.groups
    assert sorted((one.source, one.code, one.kind) for one in plan.refused) == [
        ("images/a.png", "ambiguous-label", "quarantined"),
        ("images/c.bmp", "other-format", "passed-over"),
        ("masks/a.png", "no-image", "quarantined"),
        ("masks/a.tif", "no-image", "quarantined"),
        ("masks/x_b.png", "no-image", "quarantined"),
        ("x_b", "no-label", "quarantined"),
    ]


def test_class_folders_with_and_without_splits(tmp_path: Path) -> None:
    for path in ("cat/1.png", "dog/1.png", "dog/2.png", "stray.png"):
        save(tmp_path / "plain" / path, grid())
    _, plan = planned(tmp_path / "plain", layout="folders")
    assert [(one.source, one.code) for one in plan.refused] == [("stray.png", "no-class")]
    found = {one.id: one.row["target"] for one in read(tmp_path / "plain", layout="folders")}
    assert found == {"cat_1": 0, "dog_1": 1, "dog_2": 1}
    for path in ("train/cat/1.png", "test/dog/1.png"):
        save(tmp_path / "split" / path, grid())
    samples = read(tmp_path / "split", layout="folders", classes=("dog", "cat"))
    assert [(one.row["split"], one.row["target"], one.row["class_name"]) for one in samples] == [
        ("test", 0, "dog"),
        ("train", 1, "cat"),
    ]


def table(root: Path, rows: list[dict[str, Any]]) -> None:
    with (root / "labels.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def test_a_table_of_labels(tmp_path: Path) -> None:
    for name in "abc":
        save(tmp_path / f"{name}.png", grid())
    table(
        tmp_path,
        [
            {"file": "a.png", "label": "1", "split": "train"},
            {"file": "./b.png", "label": "many", "split": ""},
            {"file": "d.png", "label": "0", "split": ""},
        ],
    )
    (sample,) = read(tmp_path, layout="csv")
    assert (sample.id, sample.row["target"], sample.row["split"]) == ("a", 1, "train")
    _, plan = planned(tmp_path, layout="csv")
    assert {(one.source, one.code) for one in plan.refused} == {
        ("b.png", "bad-label"),
        ("c.png", "not-in-table"),
        ("d.png", "missing-file"),
    }
    twice = [{"file": "a.png", "label": label, "n": i} for i, label in enumerate((1, 1))]
    table(tmp_path, [*twice, *({"file": "b.png", "label": i, "n": i} for i in range(2))])
    assert [one.row["target"] for one in read(tmp_path, layout="csv")] == [1]
    _, plan = planned(tmp_path, layout="csv")
    assert ("b.png", "ambiguous-label") in {(one.source, one.code) for one in plan.refused}
    table(tmp_path, [{"file": f"{n}.png", "x": i, "y": 1} for i, n in enumerate("abc")])
    samples = read(tmp_path / ".", layout="csv", label_columns=("x", "y"))
    assert [one.row["target"] for one in samples] == [[0, 1], [1, 1]]  # 2 is neither yes nor no
    with pytest.raises(SpecError, match="bad-table"):
        planned(tmp_path, layout="csv")
    with pytest.raises(SpecError, match="no-table"):
        planned(tmp_path, layout="csv", table="../labels.csv")


def test_written_masks_read_back(tmp_path: Path) -> None:
    form = Image(Image.Options())
    for dtype in ("uint8", "uint16"):
        sample = Sample("a", {}, {"label": grid(dtype)})
        (path,) = form.write([sample], tmp_path)
        first = path.read_bytes()
        assert list(form.write([sample], tmp_path)) == [path]
        assert path.read_bytes() == first
        assert np.array_equal(np.asarray(Pillow.open(path)), grid(dtype))
    with pytest.raises(DataError, match="not-a-png"):
        list(form.write([Sample("a", {}, {"label": grid("uint8", (3, 4, 5, 6))})], tmp_path))
    with pytest.raises(DataError, match="no-such-array"):
        list(form.write([Sample("a", {}, {})], tmp_path))


def test_nothing_to_read(tmp_path: Path) -> None:
    for layout in ("plain", "masks", "folders", "csv", "npz"):
        with pytest.raises(SpecError):
            planned(tmp_path, layout=layout)


def test_em_membranes(data_dir: Path) -> None:
    root = data_dir / "imaging" / "seg2d_isbi2012_em"
    options = {"layout": "masks", "images": "image", "masks": "label"}
    samples = read(root, **options, label_values={0: 1, 255: 0})
    assert len(samples) == len({one.row["subject"] for one in samples}) == 30
    counts = np.sum([one.row["label_voxels"] for one in samples], axis=0)
    assert counts[1] / counts.sum() == pytest.approx(0.22, abs=0.005)


def test_nuclei_and_multiseries(data_dir: Path) -> None:
    root = data_dir / "imaging" / "nuclei_stardist" / "2d"
    for sample in read(root):
        assert sample.arrays["image"].dtype == np.uint16
        assert np.array_equal(sample.arrays["image"][0], tifffile.imread(root / f"{sample.id}.tif"))
    _, plan = planned(data_dir / "imaging" / "ome")
    assert sum(len(group) for group in plan.groups) == 2
    assert refusal(data_dir / "imaging" / "ome") == "many-pages"


def test_small_files_cannot_claim_large_pictures(tmp_path: Path) -> None:
    Pillow.new("1", (12_000, 12_000)).save(tmp_path / "a.tif", compression="group4")
    assert (tmp_path / "a.tif").stat().st_size < 50_000
    assert refusal(tmp_path) == "compression-bomb"
