"""TIFF: every plane that is announced, channels apart from depth, values as stored."""

import json
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import tifffile
from PIL import Image as Pillow

from medray.errors import DataError
from medray.formats.image.raster import read_raster


def read(path: Path, *, volume: bool = False, indices: bool = False) -> np.ndarray:
    return read_raster(path, 10**8, volume=volume, indices=indices)[0]


def refusal(path: Path, **options: bool) -> str:
    with pytest.raises(DataError) as caught:
        read(path, **options)
    return caught.value.code


def spread(dtype: str, shape: tuple[int, ...] = (37, 53)) -> np.ndarray:
    random = np.random.default_rng(0)
    kind = np.dtype(dtype)
    if kind.kind == "f":
        return random.normal(0, 1000, shape).astype(kind)
    if kind.kind == "b":
        return random.integers(0, 2, shape).astype(bool)
    ends = np.iinfo(kind)
    values = random.integers(ends.min, ends.max, shape, dtype=kind, endpoint=True)
    values.flat[:2] = ends.min, ends.max
    return values


DTYPES = ("?", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8")
FORMS: dict[str, dict[str, Any]] = {
    "plain": {},
    "big-endian": {"byteorder": ">"},
    "white": {"photometric": "miniswhite"},
    "tiles": {"tile": (16, 16)},
    "deflated-tiles": {"tile": (16, 16), "compression": "zlib"},
    "strips": {"rowsperstrip": 5, "compression": "zlib", "byteorder": ">"},
    "bigtiff": {"bigtiff": True},
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_type_is_as_stored(tmp_path: Path, dtype: str, form: str) -> None:
    values = spread(dtype)
    options = {"photometric": "minisblack", **FORMS[form]}
    tifffile.imwrite(tmp_path / "a.tif", values, **options)
    found = read(tmp_path / "a.tif")
    assert found.dtype == (np.uint8 if dtype == "?" else values.dtype)
    assert np.array_equal(found, values[None])


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("coding", ["lzw", "packbits", "zstd", "lzma"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_coding_in_either_order(
    tmp_path: Path, dtype: str, coding: str, order: Literal["<", ">"]
) -> None:
    tifffile.imwrite(
        tmp_path / "a.tif", spread(dtype), compression=coding, byteorder=order,
        photometric="minisblack", predictor=dtype in ("u2", "f4"),
    )  # fmt: skip
    assert np.array_equal(read(tmp_path / "a.tif")[0], spread(dtype))


def test_few_bits_and_faxes(tmp_path: Path) -> None:
    for bits in (2, 4, 10, 12):
        values = spread("u2") % 2**bits
        values = values if bits > 8 else values.astype(np.uint8)
        for kind in ("minisblack", "miniswhite"):
            tifffile.imwrite(tmp_path / "a.tif", values, bitspersample=bits, photometric=kind)
            assert np.array_equal(read(tmp_path / "a.tif")[0], values)
    Pillow.fromarray(spread("?")).save(tmp_path / "a.tif", compression="group4")
    assert np.array_equal(read(tmp_path / "a.tif")[0], spread("?"))
    with_tag(tmp_path / "a.tif", 259, 32809)  # ThunderScan
    assert refusal(tmp_path / "a.tif") == "unsupported-compression"


def with_tag(path: Path, code: int, value: int) -> None:
    with tifffile.TiffFile(path, mode="r+b") as file:
        file.pages.first.tags[code].overwrite(value)


@pytest.mark.parametrize("dtype", ["?", "u1", "u2"])
def test_white_masks_keep_their_classes(tmp_path: Path, dtype: str) -> None:
    Pillow.fromarray(spread(dtype)).save(tmp_path / "a.tif", compression="tiff_lzw")
    with_tag(tmp_path / "a.tif", 262, 0)  # MinIsWhite
    assert np.array_equal(read(tmp_path / "a.tif", indices=True)[0], spread(dtype))


def test_colours_of_any_depth_and_plan(tmp_path: Path) -> None:
    for dtype in ("u1", "u2"):
        colour = spread(dtype, (37, 53, 3))
        want = np.moveaxis(colour, -1, 0)
        tifffile.imwrite(tmp_path / "a.tif", colour, photometric="rgb")
        assert np.array_equal(read(tmp_path / "a.tif"), want)
        tifffile.imwrite(
            tmp_path / "a.tif",
            np.ascontiguousarray(want),
            photometric="rgb",
            planarconfig="separate",
        )
        assert np.array_equal(read(tmp_path / "a.tif"), want)
        clear = np.full((37, 53, 1), np.iinfo(colour.dtype).max, colour.dtype)
        for alpha, code in ((clear, None), (clear - 1, "transparent-image")):
            four = np.concatenate([colour, alpha], -1)
            tifffile.imwrite(
                tmp_path / "a.tif", four, photometric="rgb", extrasamples=["unassalpha"]
            )
            if code:
                assert refusal(tmp_path / "a.tif") == code
            else:
                assert np.array_equal(read(tmp_path / "a.tif"), want)
    Pillow.fromarray(spread("u1", (37, 53, 4)), "CMYK").save(tmp_path / "a.tif")
    assert refusal(tmp_path / "a.tif") == "unsupported-colour"
    tifffile.imwrite(tmp_path / "a.tif", spread("f4") + 1j)
    assert refusal(tmp_path / "a.tif") == "unsupported-datatype"


def test_palettes(tmp_path: Path) -> None:
    colour = spread("u1", (37, 53, 3))
    few = Pillow.fromarray(colour).quantize(200)
    for coding in (None, "tiff_lzw"):
        few.save(tmp_path / "a.tif", compression=coding)
        assert np.array_equal(
            read(tmp_path / "a.tif"), np.moveaxis(np.asarray(few.convert("RGB")), -1, 0)
        )
        assert np.array_equal(read(tmp_path / "a.tif", indices=True)[0], np.asarray(few))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation(tmp_path: Path, orientation: int) -> None:
    tifffile.imwrite(tmp_path / "a.tif", spread("u1"), extratags=[(274, "H", 1, orientation, True)])
    image = Pillow.fromarray(spread("u1"))
    turns = (None, 0, 3, 1, 5, 4, 6, 2)  # Pillow's numbers of what undoes each
    turn = turns[orientation - 1]
    want = np.asarray(image if turn is None else image.transpose(Pillow.Transpose(turn)))
    assert np.array_equal(read(tmp_path / "a.tif")[0], want)


PLANES = spread("u2", (7, 32, 40))


@pytest.mark.parametrize("form", [{"imagej": True}, {"metadata": {"axes": "ZYX"}}, {"ome": True}])
def test_one_directory_for_many_planes(tmp_path: Path, form: dict[str, Any]) -> None:
    options = {"metadata": {"axes": "ZYX"}, "photometric": "minisblack", **form}
    tifffile.imwrite(tmp_path / "a.tif", PLANES, **options)
    assert refusal(tmp_path / "a.tif") == "many-pages"
    assert np.array_equal(read(tmp_path / "a.tif", volume=True), PLANES[None])


def test_announced_planes_that_are_not_there(tmp_path: Path) -> None:
    tifffile.imwrite(
        tmp_path / "a.tif",
        PLANES[0],
        description="ImageJ=1.53k\nimages=7\nslices=7\n",
        metadata=None,
    )
    assert (
        refusal(tmp_path / "a.tif") == refusal(tmp_path / "a.tif", volume=True) == "missing-planes"
    )
    tifffile.imwrite(
        tmp_path / "a.tif", PLANES[:3], photometric="minisblack", ome=True, metadata={"axes": "ZYX"}
    )
    whole = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "a.tif").write_bytes(whole.replace(b'SizeZ="3"', b'SizeZ="9"'))
    assert refusal(tmp_path / "a.tif", volume=True) == "missing-planes"
    tifffile.imwrite(
        tmp_path / "a.tif", PLANES[0], description=json.dumps({"shape": [9, 32, 40]}), metadata=None
    )
    assert refusal(tmp_path / "a.tif", volume=True) in ("missing-planes", "damaged-image")


HYPER = spread("u2", (4, 2, 24, 26))  # depth, channels


@pytest.mark.parametrize("kind", ["imagej", "ome"])
def test_channels_stay_apart_from_depth(tmp_path: Path, kind: str) -> None:
    tifffile.imwrite(
        tmp_path / "a.tif",
        HYPER,
        metadata={"axes": "ZCYX"},
        photometric="minisblack",
        **{kind: True},
    )
    assert np.array_equal(read(tmp_path / "a.tif", volume=True), HYPER.swapaxes(0, 1))
    tifffile.imwrite(
        tmp_path / "a.tif",
        HYPER[0],
        metadata={"axes": "CYX"},
        photometric="minisblack",
        **{kind: True},
    )
    assert np.array_equal(read(tmp_path / "a.tif"), HYPER[0])
    tifffile.imwrite(
        tmp_path / "a.tif",
        HYPER[:, 0],
        metadata={"axes": "TYX"},
        photometric="minisblack",
        **{kind: True},
    )
    assert refusal(tmp_path / "a.tif", volume=True) == "time-series"


def test_several_images_are_no_stack(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif", ome=True) as file:
        for image in HYPER[:2]:
            file.write(image, photometric="minisblack", metadata={"axes": "CYX"})
    assert refusal(tmp_path / "a.tif", volume=True) == "several-images"


def spacing(path: Path) -> tuple[float | None, ...]:
    return read_raster(path, 10**8, volume=True, indices=False)[1]


def test_lengths_in_any_unit(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    for unit, factor in (
        ("um", 1e-3),
        ("micron", 1e-3),
        ("\\u00B5m", 1e-3),
        ("nm", 1e-6),
        ("mm", 1),
        ("cm", 10),
        ("inch", 25.4),
    ):
        tifffile.imwrite(
            path,
            PLANES,
            imagej=True,
            resolution=(4, 2),
            metadata={"axes": "ZYX", "spacing": 3.0, "unit": unit},
        )
        assert spacing(path) == pytest.approx((3 * factor, 0.5 * factor, 0.25 * factor))
    tifffile.imwrite(
        path,
        PLANES,
        imagej=True,
        resolution=(4, 2),
        metadata={"axes": "ZYX", "spacing": 3.0, "unit": "pixel"},
    )
    assert spacing(path) == (None, None, None)
    for unit, factor in (("µm", 1e-3), ("nm", 1e-6), ("mm", 1), ("Å", 1e-7), ("m", 1e3)):
        sizes = {
            f"PhysicalSize{axis}": size for axis, size in zip("ZYX", (3.0, 0.5, 0.25), strict=True)
        }
        units = {f"PhysicalSize{axis}Unit": unit for axis in "ZYX"}
        tifffile.imwrite(
            path,
            PLANES,
            ome=True,
            photometric="minisblack",
            metadata={"axes": "ZYX", **sizes, **units},
        )
        assert spacing(path) == pytest.approx((3 * factor, 0.5 * factor, 0.25 * factor))
    tifffile.imwrite(path, PLANES[0], resolution=(20_000, 10_000), resolutionunit="CENTIMETER")
    assert spacing(path) == pytest.approx((None, 1e-3, 0.5e-3))
    tifffile.imwrite(path, PLANES[0], resolution=(25_400, 12_700), resolutionunit="INCH")
    assert spacing(path) == pytest.approx((None, 2e-3, 1e-3))
    tifffile.imwrite(path, PLANES[0], resolution=(300, 300), resolutionunit="INCH")
    assert spacing(path) == (None, None, None)  # how large to print


def test_files_cut_short_are_never_filled_up(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    for coding in (None, "zlib"):
        tifffile.imwrite(path, PLANES, photometric="minisblack", compression=coding, rowsperstrip=4)
        whole = path.read_bytes()
        for share in range(1, 16):
            path.write_bytes(whole[: len(whole) * share // 16])
            assert refusal(path, volume=True) in ("damaged-image", "not-an-image", "missing-planes")


def test_a_thumbnail_below_a_page_counts_as_one(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        writer.write(np.zeros((64, 64), np.uint8), subifds=1, metadata=None)
        writer.write(np.zeros((3, 4), np.uint8), subfiletype=1, metadata=None)
    with pytest.raises(DataError, match="the file holds 2 pages") as caught:
        read(tmp_path / "a.tif")
    assert caught.value.code == "many-pages"
