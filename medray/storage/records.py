"""What commits say: of a shard, and of what was refused. Light to import, as all of the ledger."""

from dataclasses import asdict, dataclass
from typing import Any

from medray.storage.documents import Count


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

    def encode(self) -> dict[str, Any]:
        """As JSON-able values."""
        return asdict(self)


@dataclass(frozen=True)
class Refusal:
    """One input or sample that was not taken, and why: a row of the quarantine table.

    Args:
        source: key of the input, as the plan names it.
        sample: id of the sample where it is known, else empty.
        code: of the DataError.
        reason: its message, free of values from the file.
        files: how many raw files that was. The refusal itself counts as one input.
    """

    source: str
    code: str
    reason: str
    sample: str = ""
    files: Count = 1
