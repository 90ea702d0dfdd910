"""One NIfTI file, read and written: the header is believed only as far as the file's size allows.

Sizes are checked before anything is allocated. Where the header has a choice of affines: the sform
if its code is above 0, else the qform if its code is above 0, else the voxel sizes (as nibabel's
`get_best_affine`). Lengths count in the header's unit; one that names none means millimetres.
Voxels stay in the file's order, only named (Z, Y, X) instead of (x, y, z).
"""

import gzip
import io
import math
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from medray.errors import DataError
from medray.formats.imaging.values import checked_affine

if TYPE_CHECKING:
    from types import ModuleType

Array = np.ndarray[Any, Any]

SUFFIXES = (".nii", ".nii.gz")
DEFLATE_LIMIT = 1040  # no deflate stream grows more than 1032-fold
IMAGE_RATIO = 200  # a real image shrinks 2 to 10-fold; an almost empty one up to about 100-fold
BOMB_BYTES = 256 * 2**20  # below this even an absurd ratio does no harm
TRAILING_BYTES = 2**20
READ_BYTES = 16 * 2**20
MAX_SHEAR_DEGREES = 0.2  # cosines of three digits reach 0.1; a gantry tilts by 1 or more

_MM = {0: 1.0, 1: 1e3, 2: 1.0, 3: 1e-3}  # of xyzt_units: unknown, metre, millimetre, micrometre
_OTHERS = {
    1: "1 bit", 32: "complex64", 128: "RGB24", 1536: "float128", 1792: "complex128",
    2048: "complex256", 2304: "RGBA32",
}  # fmt: skip
_TYPES = {
    2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4",
    1024: "i8", 1280: "u8",
}  # fmt: skip


@dataclass(frozen=True)
class Header:
    """What a NIfTI header says, checked.

    Args:
        shape: as in the file, x first; trailing axes of length 1 are gone, at least three are left.
        dtype: of the stored values, with the file's byte order.
        affine: 4 x 4, voxel (x, y, z) to RAS+ millimetres.
        offset: where the voxels begin, in the decompressed file.
        slope: stored values are multiplied by this,
        intercept: and this is added.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    affine: Array
    offset: int
    slope: float
    intercept: float

    @property
    def nbytes(self) -> int:
        """Bytes of the voxels."""
        return math.prod(self.shape) * self.dtype.itemsize

    @property
    def grid(self) -> tuple[int, ...]:
        """Shape in space: (Z, Y, X)."""
        return self.shape[2::-1]


def read_header(path: Path) -> Header:
    """Read and check the header of a .nii or .nii.gz file.

    Raises:
        DataError: "not-nifti", "analyze", "nifti-pair", "not-gzip", "gzipped", "truncated",
            "bad-dimensions", "too-many-axes", "unsupported-datatype", "bad-scaling", "bad-offset",
            "bad-unit", "bad-qform", "nonfinite-affine", "flat-affine".
    """
    _check_packing(path)
    with _opened(path) as file:
        raw = _read(file, 540)
    header = _parse(raw)
    sizes = [int(n) for n in header["dim"]]
    if not 1 <= sizes[0] <= 7 or any(n < 1 for n in sizes[1 : sizes[0] + 1]):
        raise DataError("the header's dimensions make no sense", code="bad-dimensions")
    shape = sizes[1 : sizes[0] + 1]
    while len(shape) > 3 and shape[-1] == 1:
        shape.pop()
    if len(shape) > 4 and shape[3] == 1:  # NIfTI keeps vectors on the fifth axis, behind time
        del shape[3]
    if len(shape) > 4:
        raise DataError("the image has more than four axes", code="too-many-axes")
    shape += [1] * (3 - len(shape))
    code = int(header["datatype"])
    if code not in _TYPES:
        raise DataError(
            f"NIfTI data type {code} ({_OTHERS.get(code, 'of no standard')}) is not read",
            code="unsupported-datatype",
            hint="write parts, colours or channels as files of real numbers",
        )
    dtype = np.dtype(_TYPES[code]).newbyteorder(header.endianness)
    offset = float(header["vox_offset"])
    # 2**31: extensions of more than 2 GiB are damage.
    if not (int(header["sizeof_hdr"]) <= offset < 2**31 and offset.is_integer()):
        raise DataError("the voxels begin nowhere", code="bad-offset")
    slope, intercept = float(header["scl_slope"]), float(header["scl_inter"])
    if not math.isfinite(slope) or slope == 0.0:  # "no scaling" in the standard
        slope, intercept = 1.0, 0.0
    elif not math.isfinite(intercept):
        raise DataError("the header's scaling is not finite", code="bad-scaling")
    affine = _affine(header, shape)
    return Header(tuple(shape), dtype, checked_affine(affine), int(offset), slope, intercept)


def _affine(header: Any, shape: list[int]) -> Array:
    """Voxel (x, y, z) to RAS+ millimetres.

    As the standard and its own library have it, where nibabel refuses: qfac is -1 below 0 and else
    1, a voxel's size has no sign, and an axis of one voxel has some size.
    """
    sizes = np.abs(header["pixdim"][1:4])
    thin = np.array([n == 1 for n in shape[:3]])
    header["pixdim"][1:4] = np.where(thin & (sizes == 0), 1, sizes)
    header["pixdim"][0] = -1 if header["pixdim"][0] < 0 else 1
    unit = int(header["xyzt_units"]) & 7
    if unit not in _MM:
        raise DataError(f"the header's unit of length, {unit}, is none", code="bad-unit")
    try:
        with np.errstate(all="ignore"):
            affine: Array = header.get_best_affine()
    except (_nibabel().spatialimages.HeaderDataError, ValueError, np.linalg.LinAlgError) as error:
        raise DataError("the header's quaternion is no rotation", code="bad-qform") from error
    affine[:3] *= _MM[unit]
    return affine


def check_size(header: Header, path: Path, max_bytes: int, *, ratio: int = IMAGE_RATIO) -> None:
    """Refuse a header that claims more than the file can hold, or than memory should.

    Args:
        ratio: how many times the file a large volume may be; masks are mostly nothing and get
            deflate's own limit.

    Raises:
        DataError: "truncated", "volume-too-large", "compression-bomb".
    """
    size, need = path.stat().st_size, header.offset + header.nbytes
    packed = path.name.lower().endswith(".gz")
    if need > (size * DEFLATE_LIMIT if packed else size):
        raise DataError(
            f"the header claims {need} bytes, more than the file's {size} can hold",
            code="truncated",
        )
    if header.nbytes > max_bytes:
        raise DataError(
            f"the volume has {header.nbytes} bytes, above the limit of {max_bytes}",
            code="volume-too-large",
            hint="raise `max_bytes` if memory allows",
        )
    if packed and header.nbytes > BOMB_BYTES and header.nbytes > ratio * size:
        raise DataError(f"the file would grow more than {ratio}-fold", code="compression-bomb")


def read_values(header: Header, path: Path) -> Array:
    """The voxels in C order: (Z, Y, X), or (C, Z, Y, X) where the file has four axes.

    Integers stay integers where slope and intercept are whole numbers, in a type that holds every
    value the stored type could take, so that it does not depend on the data; else float32, or
    float64 where that loses digits of what is stored.

    Raises:
        DataError: "truncated", "damaged-gzip", "trailing-data".
    """
    out = np.empty(header.shape[::-1], header.dtype)
    view = memoryview(out.reshape(-1).view(np.uint8).data)
    with _opened(path) as file:
        _skip(file, header.offset)
        at = 0
        while at < len(view):
            count = _into(file, view[at : at + READ_BYTES])
            if not count:
                raise DataError("the file ends before its voxels do", code="truncated")
            at += count
        # Reading to the end makes gzip check its CRC; a bounded look, should there be no end.
        if len(_read(file, TRAILING_BYTES)) == TRAILING_BYTES:
            raise DataError("the file goes on behind its voxels", code="trailing-data")
    if not out.dtype.isnative:
        out = out.byteswap(inplace=True).view(out.dtype.newbyteorder("="))
    return _scaled(out, header.slope, header.intercept)


def encode(values: Array, affine: Array) -> bytes:
    """A gzipped NIfTI-1 file: the same input gives the same bytes on every machine.

    Args:
        values: (Z, Y, X), or (C, Z, Y, X) with the channels on NIfTI's fourth axis.
        affine: 4 x 4, voxel (x, y, z) to RAS+ millimetres; the sform is this, and the qform the
            nearest rotation: ITK opens no file whose sform is none by 1e-6 and which lacks one. A
            grid that is truly sheared has no qform: it would be another grid.
    """
    nib = _nibabel()
    image = nib.Nifti1Image(values.T, affine, dtype=values.dtype)
    image.header.set_xyzt_units("mm")
    if _shear_degrees(affine) <= MAX_SHEAR_DEGREES:
        image.set_qform(affine, code=1, strip_shears=True)
    image.set_sform(affine, code=1)
    # Level 6 is gzip's own default: half the time of 9, labels 2 % larger.
    return gzip.compress(image.to_bytes(), compresslevel=6, mtime=0)


def _shear_degrees(affine: Array) -> float:
    """Largest angle between an axis of the affine and that of the nearest rotation."""
    axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    left, _, right = np.linalg.svd(axes)
    return float(np.degrees(np.arccos(np.clip(((left @ right) * axes).sum(axis=0), -1, 1)).max()))


def _scaled(values: Array, slope: float, intercept: float) -> Array:
    if (slope, intercept) == (1.0, 0.0):
        return values
    whole = slope.is_integer() and intercept.is_integer() and values.dtype.kind in "iu"
    if whole and values.dtype.itemsize <= 4:
        info = np.iinfo(values.dtype)
        ends = [end * int(slope) + int(intercept) for end in (info.min, info.max)]
        if min(ends) >= -(2**63) and max(ends) < 2**63:
            kind = np.result_type(*(np.min_scalar_type(end) for end in ends))
            scaled = values.astype(np.int64) * int(slope) + int(intercept)
            return scaled.astype(kind)
    exact = values.dtype.itemsize <= 2 or values.dtype == np.float32
    out = np.empty(values.shape, np.float32 if exact else np.float64)
    with np.errstate(over="ignore"):
        for i, plane in enumerate(values):
            out[i] = plane.astype(np.float64) * slope + intercept
    return out


def _parse(raw: bytes) -> Any:
    nib = _nibabel()
    for size, kind in ((348, nib.Nifti1Header), (540, nib.Nifti2Header)):
        for order, name in (("<", "little"), (">", "big")):
            if len(raw) >= 4 and int.from_bytes(raw[:4], name) == size:  # type: ignore[arg-type]
                if len(raw) < size:
                    raise DataError("the file ends inside its header", code="truncated")
                header = kind(raw[:size], endianness=order, check=False)
                _check_magic(bytes(header["magic"]), size)
                return header
    raise DataError("the file is no NIfTI", code="truncated" if len(raw) < 4 else "not-nifti")


def _check_magic(magic: bytes, size: int) -> None:
    if magic[:3] in (b"n+1", b"n+2"):
        return
    if magic[:3] in (b"ni1", b"ni2"):
        raise DataError(
            "the file is one of a pair of .hdr and .img",
            code="nifti-pair",
            hint="write it as one file: nibabel.save(nibabel.load('x.hdr'), 'x.nii.gz')",
        )
    if size == 348:
        raise DataError(
            "the header is ANALYZE 7.5, which does not tell left from right",
            code="analyze",
            hint="convert it to NIfTI where its orientation is known",
        )
    raise DataError("the file has no NIfTI magic", code="not-nifti")


def _check_packing(path: Path) -> None:
    """The suffix and the first bytes must agree on whether the file is gzipped."""
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    named = path.name.lower().endswith(".gz")
    if named and not packed and path.stat().st_size:
        raise DataError(
            "the file is not gzip though named .gz", code="not-gzip", hint="rename it to .nii"
        )
    if packed and not named:
        raise DataError(
            "the file is gzip though not named .gz", code="gzipped", hint="rename it to .nii.gz"
        )


def _nibabel() -> "ModuleType":
    # Half a second with all it loads, of which a driver that only plans needs nothing.
    import nibabel

    return nibabel


def _opened(path: Path) -> gzip.GzipFile | io.BufferedReader:
    return gzip.GzipFile(path) if path.name.lower().endswith(".gz") else path.open("rb")


def _read(file: gzip.GzipFile | io.BufferedReader, size: int) -> bytes:
    try:
        return file.read(size)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise _damaged(error) from error


def _into(file: gzip.GzipFile | io.BufferedReader, view: memoryview) -> int:
    try:
        return file.readinto(view)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise _damaged(error) from error


def _skip(file: gzip.GzipFile | io.BufferedReader, count: int) -> None:
    while count:
        got = len(_read(file, min(count, READ_BYTES)))
        if not got:
            raise DataError("the file ends before its voxels begin", code="truncated")
        count -= got


def _damaged(error: Exception) -> DataError:
    if isinstance(error, EOFError):
        return DataError("the gzip stream breaks off", code="truncated")
    if str(error).startswith("Not a gzipped file"):  # the first member has been read
        return DataError("what follows the gzip stream is no gzip", code="trailing-data")
    return DataError("the gzip stream is damaged", code="damaged-gzip")
