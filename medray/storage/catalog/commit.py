"""The record of one unit's commit."""

import json
from dataclasses import asdict, dataclass, field, replace

from blake3 import blake3

from medray.storage.shards.records import Refusal, ShardRecord
from medray.storage.store import documents
from medray.storage.store.documents import Count, Finite


@dataclass(frozen=True)
class Commit:
    """The committed outcome of one unit.

    Args:
        unit: id of the unit.
        attempt: the attempt that won.
        shard: what it wrote.
        inputs: accountable inputs of the unit.
        refused: those of them, or samples in them, that were quarantined.
        seconds: time spent by stage, for reports; no part of any identity.
        session: of the driver that it was made for, empty where deaths count over all lives.
        record: BLAKE3 of the record as it is stored; no part of it, empty where it never was.
    """

    unit: str
    attempt: str
    shard: ShardRecord
    inputs: Count
    refused: list[Refusal]
    seconds: dict[str, Finite] = field(default_factory=dict)
    session: str = ""
    record: str = field(default="", compare=False)

    def encode(self) -> bytes:
        """As JSON."""
        fields = asdict(self)
        del fields["record"]
        return json.dumps(fields).encode()

    @classmethod
    def decode(cls, data: bytes, about: str) -> "Commit":
        """Read what `encode` wrote.

        Raises:
            DamageError: the record is damaged (code "damaged-record").
        """
        commit = documents.decode(data, about, cls)
        return replace(commit, record=blake3(data).hexdigest())
