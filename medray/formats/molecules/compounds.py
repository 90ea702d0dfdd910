"""What formats of compounds share: slices of files, rows to RDKit and back."""

from abc import abstractmethod
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from medray.errors import DataError
from medray.extras import need
from medray.formats.base import Format, Found, Input, Source
from medray.formats.files import File, is_empty, item, nothing_found, open_path, stem, walk
from medray.formats.molecules.block import Block, Slice
from medray.formats.molecules.cells import columns_of
from medray.formats.molecules.graph import ARRAYS
from medray.formats.molecules.guard import Guard
from medray.formats.molecules.options import SMILES, Kind, MoleculeOptions
from medray.formats.molecules.reading import attributes_of
from medray.formats.molecules.rows import Asked, names_of
from medray.formats.naming import Apart
from medray.ids import Distinct, digest
from medray.storage.shards.holds import Holds, named, names
from medray.storage.shards.records import Refusal
from medray.storage.shards.samples import Sample
from medray.storage.shards.schema import Arrays

TWICE = "twice"


class Compounds(Format):
    """A compound a row: what stands beside it, what RDKit makes of it, and its graph."""

    libraries: ClassVar[tuple[str, ...]] = ("rdkit",)
    suffixes: ClassVar[tuple[str, ...]]
    reader: ClassVar[str]
    """What reads a text in another process, see `medray.formats.molecules.nursery.Reads`."""
    keeps: ClassVar[bool]
    """Whether what RDKit reads stays as the column `smiles`."""
    options: MoleculeOptions

    @property
    @abstractmethod
    def given(self) -> str:
        """Column of blocks that RDKit reads."""

    @abstractmethod
    def survey(self, path: Path) -> tuple[Sequence[str] | None, list[Slice]]:
        """The columns of a file, None if records differ in them; and its slices.

        Raises:
            DataError: it is none that can be read.
        """

    @abstractmethod
    def blocks(
        self, path: Path, extra: Mapping[str, Any], wanted: Sequence[str] | None
    ) -> Iterator[Block]:
        """The rows of a slice, some at a time.

        Args:
            path: of the file.
            extra: of the slice.
            wanted: columns that are read; None: all.

        Raises:
            DataError: the slice can't be read.
        """

    def ready(self) -> None:
        """See Format; SELFIES have a library of their own."""
        super().ready()
        if self.options.selfies:
            need("selfies", what=self.name)

    def arrays(self) -> Arrays:
        """Atoms and bonds, and what else is asked for."""
        return {name: spec for name, spec in ARRAYS.items() if name in self.options.arrays}

    def holds(self) -> Holds:
        """Graphs, and the columns that stay beside them."""
        options = self.options
        made = names(SMILES, options.made)
        kept = None if options.columns is None else made | names(options.targets, options.columns)
        return Holds(named(self.arrays()), kept)

    def plan(self, source: Source) -> Found:
        """Slices of files, each a unit; where rows have ids, these are compared over all files."""
        files, refused = walk(source, self.suffixes)
        if is_empty(files, refused):
            nothing_found(source, "file of compounds", f"they end in {', '.join(self.suffixes)}")
        items, hashes, apart = list[Input](), list[np.ndarray](), Apart()
        for file in files:
            source.fetch(file.path)
            try:
                if self.options.id is None:
                    apart.require(stem(file.path, self.suffixes))
                path = open_path(source, file.path)
                made = list(self._inputs(file, path))
                hashes += [self._hashes(one, path) for one in made]
                items += made
            except DataError as error:
                refused.append(Refusal.of(file.path, error))
            source.drop(file.path)
        compared = self._compared(source, items, hashes)
        return Found([[one] for one in compared], refused, attributes_of(self.options))

    def read(self, source: Source, item: Input) -> Iterator[Sample | Refusal]:
        """Rows with their graphs; a row that is no compound is refused by its number."""
        held, path = deque[Asked](), item.paths[0]
        twice = frozenset(item.extra.get(TWICE, ()))

        def texts() -> Iterator[Sequence[str]]:
            for block in self.blocks(open_path(source, path), item.extra, self.wanted):
                held.append(self._asked(block, path, twice))
                yield held[-1].texts

        guard = Guard(self.reader, self.options.model_dump(), self.options.row_seconds)
        refused = 0
        for parsed in guard.read(texts()):
            for one in held.popleft().made(parsed, item.key):
                refused += isinstance(one, Refusal)
                yield one
            if refused > self.options.max_refused:
                raise DataError(
                    f"over {self.options.max_refused} rows can't be used",
                    code="too-many-bad-rows",
                    hint="is it the right column? `max_refused` takes more",
                )

    @property
    def wanted(self) -> list[str] | None:
        """The columns that are read; None: all."""
        options = self.options
        if options.columns is None:
            return None
        several = [self.given, options.id, *options.targets, *options.columns]
        return [name for name in dict.fromkeys(several) if name is not None]

    def _inputs(self, file: File, path: Path) -> Iterator[Input]:
        options = self.options
        known, slices = self.survey(path)
        for name in (self.given, options.id, *options.targets, *(options.columns or ())):
            if known is not None and name is not None and name not in known:
                raise DataError(
                    f"there is no column {name!r}",
                    code="no-such-column",
                    hint=f"columns: {', '.join(known)}",
                )
        for one in slices:
            made = item(f"{file.path}:{one.first}", [file], **one.extra)
            yield made._replace(size=one.size)

    def _ids(self, one: Input, path: Path) -> Iterator[tuple[int, str]]:
        """Rows of a slice by number, with their ids, of those that have any."""
        name = self.options.id
        if name is not None:
            with suppress(DataError):  # said when it is read
                for block in self.blocks(path, one.extra, [name]):
                    ids = zip(block.numbers, block.texts(name), strict=True)
                    yield from ((number, text) for number, text in ids if text)

    def _hashes(self, one: Input, path: Path) -> np.ndarray:
        """Of its ids, int64: there may be a hundred million of them."""
        return np.fromiter((hash(text) for _, text in self._ids(one, path)), np.int64)

    def _compared(
        self, source: Source, items: Sequence[Input], hashes: Sequence[np.ndarray]
    ) -> Iterator[Input]:
        """Slices with the numbers of those of their rows whose ids came before, in any file. Only
        ids of equal hashes are looked at once more, as they are written."""
        every = np.sort(np.concatenate([*hashes, np.zeros(0, np.int64)]))
        shared, seen = np.unique(every[1:][every[1:] == every[:-1]]), Distinct()
        few = set(shared.tolist())
        for one, own in zip(items, hashes, strict=True):
            if not np.isin(own, shared).any():
                yield one
                continue
            source.fetch(one.paths[0])
            ids = self._ids(one, open_path(source, one.paths[0]))
            twice = [number for number, text in ids if hash(text) in few and not seen.add(text)]
            source.drop(one.paths[0])
            fingerprint = f"{one.fingerprint};{digest(twice)}"  # it hangs on other files
            again = one._replace(fingerprint=fingerprint, extra={**one.extra, TWICE: twice})
            yield again if twice else one

    def _kinds(self, known: Sequence[str]) -> dict[str, Kind]:
        """What the columns hold that stay beside a compound."""
        options = self.options
        kinds: dict[str, Kind] = dict.fromkeys(options.targets, "number")
        ours = {self.given, options.id, *options.targets}
        if options.columns is None:
            return kinds | {name: "as it is" for name in known if name not in ours}
        return kinds | options.columns

    def _asked(self, block: Block, path: str, twice: frozenset[int]) -> Asked:
        options, prefix = self.options, stem(path, self.suffixes).replace("/", "_")
        columns, bad = columns_of(block.columns, self._kinds([*block.columns]), len(block.numbers))
        texts = block.texts(self.given)
        for row, one in enumerate(texts):
            if len(one) > options.max_characters:
                bad[row] = DataError(f"it has {len(one)} characters", code="too-long")
        ids = names_of(prefix, block.numbers)
        if options.id is not None:
            ids = block.texts(options.id)
            for row, (number, one) in enumerate(zip(block.numbers, ids, strict=True)):
                if not one:
                    bad.setdefault(row, DataError("the row has no id", code="no-id"))
                elif number in twice:
                    fault = DataError("an earlier row has the same id", code="duplicate-id")
                    bad.setdefault(row, fault)
        kept = {SMILES: texts} if self.keeps else {}
        return Asked(
            path,
            block.place,
            prefix,
            block.numbers,
            ["" if row in bad else one for row, one in enumerate(texts)] if bad else texts,
            {"sample_id": ids, **kept, **columns},
            bad,
            block.bad,
        )
