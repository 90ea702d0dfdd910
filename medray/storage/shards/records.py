"""What commits say: of a shard, and of what was refused. Light to import, as all of the ledger."""

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple

from medray.errors import DataError, PassedOver
from medray.ids import canonical
from medray.storage.store.documents import Count

Kind = Literal["quarantined", "passed-over"]
TABLE = "table.parquet"
ARRAYS = "arrays.zarr"
ROOT = f"{ARRAYS}/zarr.json"


class Pinned(NamedTuple):
    """A shard, and what vouches for the objects of it that every reader believes.

    Args:
        path: of its folder, below the root.
        table: BLAKE3 of its table.
        arrays: BLAKE3 of its arrays' metadata; empty where it holds no arrays.
    """

    path: str
    table: str
    arrays: str


@dataclass(frozen=True)
class ShardRecord:
    """What a commit says of a shard.

    Args:
        path: folder of the shard, below the root.
        rows: samples in it.
        bytes: of all its objects.
        sha256: over the names, sizes and hashes of its objects.
        content: hash of what it holds, whatever wrote it: equal content, equal hash.
        schema: hash of the form of its table; empty where it has no rows.
        files: name below `path` → (bytes, BLAKE3).
    """

    path: str
    rows: Count
    bytes: Count
    sha256: str
    content: str
    schema: str
    files: dict[str, tuple[Count, str]]

    @property
    def pinned(self) -> Pinned:
        """What readers need to find it and to believe it."""
        return Pinned(
            self.path, self.files.get(TABLE, (0, ""))[1], self.files.get(ROOT, (0, ""))[1]
        )

    def encode(self) -> dict[str, Any]:
        """As JSON-able values."""
        return asdict(self)


def sum_of(files: dict[str, tuple[int, str]]) -> str:
    """What a record says of all files of its shard: SHA-256 over their names, sizes and hashes."""
    return hashlib.sha256(canonical(files)).hexdigest()


def sum_of_table(size: int, known: str) -> str:
    """`sum_of` of a shard that is a table and nothing else, in a sixth of the time."""
    return hashlib.sha256(f'{{"{TABLE}":[{size},"{known}"]}}'.encode()).hexdigest()


@dataclass(frozen=True)
class Refusal:
    """One input or sample that was not taken, and why: a row of the quarantine table.

    Args:
        source: key of the input, as the plan names it.
        sample: id of the sample where it is known, else empty.
        code: of the DataError.
        reason: its message, free of values from the file.
        files: how many raw files that was. The refusal itself counts as one input.
        kind: "quarantined", or "passed-over": sound, but nothing that was asked for. No error, and
            outside the error budget.
        hint: what can be done about it.
        path: of its first file below the source, where paths name nobody; else empty.
        syntax: transfer syntax of a DICOM file, where it is known.
    """

    source: str
    code: str
    reason: str
    sample: str = ""
    files: Count = 1
    kind: Kind = "quarantined"
    hint: str = ""
    path: str = ""
    syntax: str = ""

    @classmethod
    def of(
        cls,
        source: str,
        error: DataError,
        *,
        sample: str = "",
        files: int = 1,
        path: str = "",
        syntax: str = "",
    ) -> "Refusal":
        """The refusal that an error stands for; PassedOver is one of kind "passed-over"."""
        return cls(
            source,
            error.code,
            error.message,
            sample=sample,
            files=files,
            kind="passed-over" if isinstance(error, PassedOver) else "quarantined",
            hint=error.hint,
            path=path,
            syntax=syntax,
        )


def whole_inputs(refused: Iterable[Refusal]) -> tuple[int, int]:
    """How many inputs are quarantined whole, and how many passed over.

    A refusal that names a sample refuses a part of an input that is otherwise committed. An input
    counts once, and as quarantined if any of its refusals is an error.
    """
    kinds: dict[str, Kind] = {}
    for item in refused:
        if not item.sample and kinds.get(item.source) != "quarantined":
            kinds[item.source] = item.kind
    passed = sum(kind == "passed-over" for kind in kinds.values())
    return len(kinds) - passed, passed


def single_samples(refused: Iterable[Refusal], kind: Kind = "quarantined") -> dict[str, int]:
    """How many samples are refused of inputs that are else committed, by code, most frequent first:
    rows of a table, records of a file."""
    counts = Counter(item.code for item in refused if item.sample and item.kind == kind)
    return dict(counts.most_common())
