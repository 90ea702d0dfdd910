"""What commits say: of a shard, and of what was refused. Light to import, as all of the ledger."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class ShardRecord:
    """What a commit says of a shard.

    Args:
        path: folder of the shard, below the root.
        rows: samples in it.
        bytes: of all its objects.
        sha256: over the names, sizes and hashes of its objects.
        content: hash of what it holds, whatever wrote it: equal content, equal hash.
        files: name below `path` → (bytes, BLAKE3).
    """

    path: str
    rows: int
    bytes: int
    sha256: str
    content: str
    files: dict[str, tuple[int, str]]

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
    files: int = 1
