"""Zarr v3 metadata and the codec that medray's arrays use, so that shards need no zarr library.

An array is sharded: inner chunks are Blosc with a CRC-32C, a shard ends with an index of (offset,
bytes) pairs and its CRC-32C, as the codecs of the Zarr v3 specification say. zarr-python,
tensorstore and zarrs read it; a test holds them to that. Arrays of texts are of data type "string"
with the codec vlen-utf8, which zarr-python reads and writes.
"""

import json
import math
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from google_crc32c import value as crc32c

from medray.errors import DataError

STRING = "string"
KEYS = {"name": "default", "configuration": {"separator": "."}}  # of stored shards; see `key`
MAX_TEXT_BYTES = 2**28  # of one chunk of texts, whose size its shape does not tell
EMPTY = 2**64 - 1
EIGHT = 8
MAX_ELEMENTS = 2**40  # a shape beyond this is damage, not data
MAX_CHUNK_ELEMENTS = 2**24  # the largest that medray writes has 2**20


@dataclass(frozen=True)
class Packing:
    """How chunks are compressed by Blosc.

    Args:
        name: of the compressor.
        level: of it.
        bits: shuffle bits of elements up to so many bytes; of larger ones bytes are shuffled.
    """

    name: str
    level: int
    bits: int

    def shuffle(self, itemsize: int, count: int) -> int:
        """Blosc's number of the shuffle for so many elements of a size; texts have size 0.

        Bits are shuffled of whole eights of elements; of other chunks Blosc would leave all as is.
        """
        if 0 < itemsize <= self.bits and (itemsize == 1 or count % EIGHT == 0):
            return _SHUFFLES.index("bitshuffle")
        return _SHUFFLES.index("shuffle" if itemsize > 1 else "noshuffle")


FAST = Packing("lz4", 5, bits=0)  # voxels: decoding keeps up with a network
DENSE = Packing("zstd", 3, bits=1)  # genotypes: 0 and 1 nearly everywhere
# Signals, few of whose bits are used or change: as small as by DENSE (0.61 of a night's EEG as
# int16, where that makes 0.60), decoded two to four times as fast, packed ten times as fast.
SMOOTH = Packing("lz4", 5, bits=8)
_SHUFFLES = ("noshuffle", "shuffle", "bitshuffle")  # by Blosc's numbers of them


def dtype_of(name: str) -> np.dtype[Any]:
    """The data type in memory of an array whose type is called `name`."""
    return np.dtypes.StringDType() if name == STRING else np.dtype(name)


def name_of(dtype: np.dtype[Any]) -> str:
    """What a data type is called in metadata, e.g. "int16" or "string"."""
    return STRING if dtype.kind == "T" else str(dtype)


@dataclass(frozen=True)
class ArrayMeta:
    """Shape and layout of one array.

    Args:
        shape: of the array.
        dtype: numpy name, e.g. "int16"; or "string".
        chunk: inner chunk, the unit of compression.
        shard: stored object, a multiple of `chunk` along every axis.
        axes: names of the axes, e.g. ("z", "y", "x").
        packing: how chunks are compressed; to decode them it need not be known.
        attributes: of the array.
    """

    shape: tuple[int, ...]
    dtype: str
    chunk: tuple[int, ...]
    shard: tuple[int, ...]
    axes: tuple[str, ...] = ()
    packing: Packing = FAST
    attributes: dict[str, Any] = field(default_factory=dict)

    @property
    def inner(self) -> tuple[int, ...]:
        """Number of inner chunks in a shard along each axis."""
        return tuple(s // c for s, c in zip(self.shard, self.chunk, strict=True))

    @property
    def grid(self) -> tuple[int, ...]:
        """Number of shards along each axis."""
        return tuple(math.ceil(n / s) for n, s in zip(self.shape, self.shard, strict=True))

    @property
    def index_bytes(self) -> int:
        """Size of a shard's index with its checksum."""
        return 16 * math.prod(self.inner) + 4

    @staticmethod
    def key(place: tuple[int, ...]) -> str:
        """Name of the stored shard at a place of the grid; no folders, which cost as files do."""
        return ".".join(["c", *map(str, place)])

    def check(self) -> None:
        """Raise ValueError where the parts don't fit, or a chunk is larger than medray's."""
        fits = len(self.shape) == len(self.chunk) == len(self.shard) and all(
            n >= 0 and c > 0 and s > 0 and s % c == 0
            for n, c, s in zip(self.shape, self.chunk, self.shard, strict=True)
        )
        kind = dtype_of(self.dtype).kind
        if not fits or kind not in "biufcT" or math.prod(self.chunk) > MAX_CHUNK_ELEMENTS:
            raise ValueError("chunk")

    def encode(self) -> dict[str, Any]:
        """The array's zarr.json."""
        text = self.dtype == STRING
        item = 0 if text else dtype_of(self.dtype).itemsize
        codecs: list[dict[str, Any]] = [{"name": "vlen-utf8" if text else "bytes"}]
        if item > 1:
            codecs = [{"name": "bytes", "configuration": {"endian": "little"}}]
        codecs.append(
            {
                "name": "blosc",
                "configuration": {
                    "cname": self.packing.name,
                    "clevel": self.packing.level,
                    "shuffle": _SHUFFLES[self.packing.shuffle(item, math.prod(self.chunk))],
                    "typesize": max(1, item),
                    "blocksize": 0,
                },
            }
        )
        codecs.append({"name": "crc32c"})
        little = {"name": "bytes", "configuration": {"endian": "little"}}
        document: dict[str, Any] = {
            "zarr_format": 3,
            "node_type": "array",
            "shape": list(self.shape),
            "data_type": self.dtype,
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(self.shard)}},
            "chunk_key_encoding": KEYS,
            "fill_value": "" if text else False if self.dtype == "bool" else 0,
            "codecs": [
                {
                    "name": "sharding_indexed",
                    "configuration": {
                        "chunk_shape": list(self.chunk),
                        "codecs": codecs,
                        "index_codecs": [little, {"name": "crc32c"}],
                        "index_location": "end",
                    },
                }
            ],
            "attributes": self.attributes,
        }
        if self.axes:
            document["dimension_names"] = list(self.axes)
        return document

    @classmethod
    def decode(cls, document: dict[str, Any], about: str) -> "ArrayMeta":
        """Read what `encode` wrote.

        Raises:
            DataError: it is not an array of this layout (code "foreign-array"), or its shape is
                beyond any data (code "array-too-large").
        """
        try:
            sharding = document["codecs"][0]
            if sharding["name"] != "sharding_indexed":
                raise KeyError("sharding_indexed")
            if document["chunk_key_encoding"] != KEYS:
                raise KeyError("chunk_key_encoding")
            codecs = [codec["name"] for codec in sharding["configuration"]["codecs"]]
            text = document["data_type"] == STRING
            if codecs != ["vlen-utf8" if text else "bytes", "blosc", "crc32c"]:
                raise KeyError("blosc")
            meta = cls(
                shape=tuple(int(n) for n in document["shape"]),
                dtype=name_of(dtype_of(document["data_type"])),
                chunk=tuple(int(n) for n in sharding["configuration"]["chunk_shape"]),
                shard=tuple(int(n) for n in document["chunk_grid"]["configuration"]["chunk_shape"]),
                axes=tuple(document.get("dimension_names") or ()),
                attributes=dict(document.get("attributes") or {}),
            )
            meta.check()
        except (KeyError, TypeError, ValueError, IndexError, OverflowError) as error:
            raise DataError(
                "not an array that medray wrote", code="foreign-array", about=about
            ) from error
        if math.prod(meta.shape) > MAX_ELEMENTS:
            raise DataError("the shape is beyond any data", code="array-too-large", about=about)
        return meta


def group(attributes: dict[str, Any], members: dict[str, Any] | None = None) -> bytes:
    """The zarr.json of a group; `members` (path → document) become its consolidated metadata."""
    document: dict[str, Any] = {
        "zarr_format": 3,
        "node_type": "group",
        "attributes": attributes,
    }
    if members is not None:
        document["consolidated_metadata"] = {
            "kind": "inline",
            "must_understand": False,
            "metadata": members,
        }
    return json.dumps(document).encode()


def raw_bytes(values: np.ndarray) -> memoryview:
    """Values as they are hashed and compressed: C-ordered memory, or texts by vlen-utf8."""
    if values.dtype.kind == "T":
        return memoryview(bytes(_codecs().text.encode(values.astype(object).reshape(-1))))
    return np.ascontiguousarray(values).reshape(-1).view(np.uint8).data


def compress(chunk: np.ndarray, packing: Packing = FAST) -> tuple[bytes, bytes]:
    """Encode one inner chunk of full shape, C-ordered: its bytes, and the checksum behind them."""
    item = 0 if chunk.dtype.kind == "T" else chunk.itemsize
    source = raw_bytes(chunk) if item == 0 else chunk
    data: bytes = _codecs().blosc.compress(
        source, packing.name.encode(), packing.level, packing.shuffle(item, chunk.size)
    )
    return data, _checksum(data)


def decompress(data: memoryview, out: np.ndarray) -> None:
    """Decode one inner chunk into `out`, whose size must fit.

    Raises:
        DataError: the chunk is damaged (code "damaged-chunk").
    """
    data, checksum = data[:-4], data[-4:]
    # Blosc checks nothing: a flipped bit would come out as other voxels.
    if bytes(checksum) != _checksum(data):
        raise DataError("a chunk fails its checksum", code="damaged-chunk")
    text = out.dtype.kind == "T"
    size = int.from_bytes(data[4:8], "little") if len(data) >= 16 else -1
    # The size stands in Blosc's own header; checked first, so that damage can't write past `out`.
    if size < 0 or (size > MAX_TEXT_BYTES if text else size != out.nbytes):
        raise DataError("a chunk's size is wrong", code="damaged-chunk")
    codecs = _codecs()
    try:
        if text:
            out[...] = codecs.text.decode(codecs.blosc.decompress(data)).reshape(out.shape)
        else:
            codecs.blosc.decompress(data, out)
    except (RuntimeError, ValueError, IndexError) as error:
        raise DataError("a chunk cannot be decoded", code="damaged-chunk") from error


class _Codecs(NamedTuple):
    blosc: Any
    text: Any


@cache
def _codecs() -> _Codecs:
    """Those of numcodecs, whose import takes 35 ms: it looks for other packages' codecs."""
    from numcodecs import VLenUTF8, blosc

    # Contextual Blosc: re-entrant from any thread, and one thread a call; workers own theirs.
    blosc.use_threads = False
    return _Codecs(blosc, VLenUTF8())


def encode_index(entries: np.ndarray) -> bytes:
    """A shard's index: (chunks, 2) offsets and sizes as uint64, then CRC-32C."""
    raw = entries.astype("<u8").tobytes()
    return raw + _checksum(raw)


def decode_index(data: bytes, inner: tuple[int, ...]) -> np.ndarray:
    """Offsets and sizes, shape (*inner, 2); `EMPTY` marks a chunk of zeros.

    Raises:
        DataError: the checksum is wrong (code "damaged-index").
    """
    if len(data) != 16 * math.prod(inner) + 4 or _checksum(data[:-4]) != data[-4:]:
        raise DataError("a shard's index fails its checksum", code="damaged-index")
    return np.frombuffer(data[:-4], "<u8").reshape(*inner, 2)


def _checksum(data: bytes | memoryview) -> bytes:
    return int(crc32c(bytes(data))).to_bytes(4, "little")
