"""The contract of formats whose files hold the rows of many units: shares, parts, one join.

A share is what one unit knows of one file. Where `parts` is set, workers turn shares into bytes
first, each by itself, and these stand in storage like any unit's output; then one unit a file puts
them together, in order. Else the rows themselves are put together.
"""

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa

from medray.formats.base import Format, Input, Source
from medray.storage.shards.records import Refusal

Look = Callable[[list[str]], Iterator[pa.Table | None]]
"""Asks for some columns of every shard, in order; None where a shard has no rows."""


@dataclass(frozen=True)
class Share:
    """What one unit contributes to a file.

    Args:
        file: name of the file, below the target.
        key: of the share, unique.
        ranges: rows of shards, [number, first, one past the last], in order.
        item: raw files that are needed besides.
    """

    file: str
    key: str
    ranges: tuple[tuple[int, int, int], ...]
    item: Input | None = None


@dataclass(frozen=True)
class Piece:
    """A share when it is joined.

    Args:
        rows: reads its rows.
        data: reads its part, in blocks; of formats without parts there is nothing.
    """

    rows: Callable[[], pa.Table]
    data: Callable[[], Iterator[bytes]]


class Joined(Format):
    """A format that puts rows of many units into one file."""

    parts: ClassVar[bool] = False
    """Whether `part` makes bytes of a share before they are joined."""

    @classmethod
    def writes(cls) -> bool:
        """Files are joined, not written sample by sample."""
        return True

    @abstractmethod
    def shares(
        self, about: dict[str, Any], look: Look, source: Source | None
    ) -> tuple[list[Share], list[Refusal]]:
        """Which rows go into which file, in the files' order; and raw files that can't be used.

        Args:
            about: attributes of the dataset that is written, and `name` and `scores`, its own
                name and reference.
            look: at columns.
            source: of the raw files that it goes back to, if the options name any.
        """

    @property
    def raw(self) -> str:
        """Folder, file or bucket with the raw files that it goes back to; empty: none."""
        return str(getattr(self.options, "source", ""))

    def part(
        self, item: Input | None, source: Source, rows: pa.Table, about: dict[str, Any]
    ) -> bytes:
        """The bytes that a share adds to its file.

        Args:
            item: of the share.
            source: where its files are.
            rows: of the share's ranges.
            about: as of `shares`.
        """
        raise NotImplementedError

    @abstractmethod
    def join(
        self,
        file: str,
        item: Input | None,
        source: Source,
        pieces: Sequence[Piece],
        target: Path,
        about: dict[str, Any],
    ) -> Iterator[Path]:
        """Write a file, and what belongs to it, below `target`; yields each path.

        Equal pieces make equal bytes.

        Args:
            file: its name.
            item: of its first share.
            source: where its files are.
            pieces: its shares, in order.
            target: folder.
            about: as of `shares`.
        """


def in_one_file(file: str, look: Look) -> list[Share]:
    """The shares of a dataset all of whose rows go into one file, in order."""
    return [
        Share(file, f"shard {number}", ((number, 0, table.num_rows),))
        for number, table in enumerate(look(["sample_id"]))
        if table is not None
    ]
