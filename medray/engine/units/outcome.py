"""What becomes of a unit's inputs: each ends taken or refused."""

import os
import traceback
from dataclasses import dataclass, replace
from pathlib import Path

from medray.engine.units.verdict import is_fault_of_storage, is_lack_of_memory
from medray.errors import DataError, shortage
from medray.extras import lacking
from medray.log import event
from medray.storage.shards.records import Refusal
from medray.storage.shards.samples import Sample
from medray.storage.shards.writer import ShardWriter


@dataclass(frozen=True)
class Loaded:
    """A sample and the input it came from."""

    key: str
    sample: Sample


class Outcome:
    """What has become of a unit's inputs.

    Args:
        writer: of the unit's shard.
        alone: the process does nothing else, so memory that lacks is the input's.
    """

    def __init__(self, writer: ShardWriter, alone: bool) -> None:
        self.writer = writer
        self.refused: list[Refusal] = []
        self.taken: set[str] = set()
        self.unread: set[str] = set()  # broke while it was read: none of its samples may stay
        self._alone = alone

    def forget(self, rows: int) -> None:
        """Take back every sample after the first `rows`."""
        self.writer.forget(rows)

    def refuse(self, key: str, sample: str, error: Exception) -> None:
        """Turn `error` into a refusal, or raise it where the input is not to blame."""
        if is_fault_of_storage(error):
            raise error
        if isinstance(error, OSError) and (short := shortage(error)):
            raise short from error
        if isinstance(error, ModuleNotFoundError):
            raise lacking(error) from error
        if isinstance(error, DataError):
            self.refused.append(Refusal.of(key, error, sample=sample))
            return
        if is_lack_of_memory(error):
            if not self._alone:
                raise error  # a neighbour may have had it: try again alone
            code, reason = "out-of-memory", "needs more memory than the worker has"
        elif isinstance(error, OSError) and error.errno:
            # Its text would name the path, and paths can name patients.
            code, reason = "unreadable", f"cannot be read: {os.strerror(error.errno)}"
        else:
            # Only the type: the text of a library's exception may quote the file.
            code, reason = "unexpected-error", type(error).__name__
            where = traceback.extract_tb(error.__traceback__)[-1]
            at = f"{Path(where.filename).name}:{where.lineno}"
            event("unexpected", level=30, input=key, exception=reason, at=at)
        self.refused.append(Refusal(key, code, reason, sample))

    def settled(self) -> list[Refusal]:
        """The refusals. Where nothing is left of an input, the first is of the input itself."""
        lost = self.unread | ({item.source for item in self.refused} - self.taken)
        lost -= {item.source for item in self.refused if not item.sample}
        settled = []
        for item in self.refused:
            settled.append(replace(item, sample="") if item.source in lost else item)
            lost.discard(item.source)
        return settled
