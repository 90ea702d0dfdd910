"""Which files are records: headers, the files that they name, and annotations beside them."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from medray.errors import DataError
from medray.formats.base import Input, Source
from medray.formats.files import BLOCK, OTHER, File, item, walk
from medray.formats.listing import unreadable
from medray.formats.naming import unique
from medray.formats.signal.deidentify import Pseudonyms
from medray.formats.wfdb.header import GAP, MAX_HEADER, parse
from medray.formats.wfdb.reader import SUFFIX, missing, read_header
from medray.storage.shards.records import Refusal

# What is in a folder is listed by files of these names; nobody needs them.
_LIST = re.compile(r"(?:.*/)?(?:RECORDS|ANNOTATORS)(?:[-_.].*)?")


@dataclass(frozen=True)
class Named:
    """What a header names.

    Args:
        files: with samples.
        parts: segments, each once.
        rates: of its signals, and how many have each.
        fault: why it is no header.
    """

    files: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()
    rates: Counter[float] = field(default_factory=Counter)
    fault: DataError | None = None


class Tree:
    """The records of a source.

    Args:
        source: of raw files.
        names: pseudonyms.
        annotators: endings of annotation files that are taken.
    """

    def __init__(self, source: Source, names: Pseudonyms, annotators: Sequence[str]) -> None:
        self._names, self._annotators = names, annotators
        self.shown = not names.keyed
        self._files, lost = walk(source, ("",))
        self.refused = [names.refusal(one) for one in lost]
        self.rates: Counter[float] = Counter()
        self._at = {path: at for at, path in enumerate(self._files.paths.to_pylist())}
        self._used: set[str] = set()
        self._near: tuple[int, list[File]] = -1, []
        self._headers = {
            path.removesuffix(SUFFIX): self._look(source, path)
            for path in self._at
            if path.endswith(SUFFIX)
        }

    def inputs(self) -> Iterator[Input]:
        """Each record with all its files; segments are their record's."""
        segments = {
            _beside(record, part) for record, named in self._headers.items() for part in named.parts
        }
        found = (
            self._input(record)
            for record, named in self._headers.items()
            if named.parts or record not in segments  # none is lost where two name each other
        )
        yield from unique((one for one in found if one), self.refused)
        for path in self._at:
            if path not in self._used and not path.endswith(SUFFIX) and not _LIST.fullmatch(path):
                self.refused.append(self._names.refusal(Refusal.of(path, OTHER)))

    def _input(self, record: str) -> Input | None:
        try:
            paths = self._paths(record)
        except DataError as error:
            key = self._names.name("record", record)
            shown = record + SUFFIX if self.shown else ""
            self.refused.append(Refusal.of(key, error, path=shown))
            return None
        annotators = [one for one in self._annotators if self._has(f"{record}.{one}", paths)]
        paths += [f"{record}.{one}" for one in annotators]
        self._used.update(paths)
        files = [self._file(path) for path in paths]
        key = self._names.name("record", record)
        return item(key, files, annotators=annotators, names=self._names.fingerprint)

    def _file(self, path: str) -> File:
        """A file's entry; those around it are looked up together."""
        block, at = divmod(self._at[path], BLOCK)
        if self._near[0] != block:
            self._near = block, list(self._files[block * BLOCK : (block + 1) * BLOCK])
        return self._near[1][at]

    def _has(self, path: str, taken: Sequence[str]) -> bool:
        return path in self._at and path not in taken

    def _paths(self, record: str) -> list[str]:
        """Paths of a record's header, of its segments', and of all that they name.

        Raises:
            DataError: a header is none, or something is not there.
        """
        paths = [record + SUFFIX]
        named = self._headers[record]
        parts = [_beside(record, part) for part in named.parts]
        for name in (record, *parts):
            header = self._headers.get(name)
            if header is None:
                raise missing(self._told(name + SUFFIX))
            if header.fault is not None:
                raise header.fault
            self.rates |= header.rates
            paths += [_beside(record, file) for file in header.files]
        paths += [part + SUFFIX for part in parts]
        for path in paths:
            if path not in self._at:
                raise missing(self._told(path))
        return list(dict.fromkeys(paths))

    def _told(self, path: str) -> str:
        return path.rpartition("/")[2] if self.shown else ""

    def _look(self, source: Source, path: str) -> Named:
        try:
            source.fetch(path, MAX_HEADER)
            header = parse(read_header(source.place(path)))
            source.drop(path)
        except DataError as error:
            return Named(fault=error)
        except OSError as error:
            return Named(fault=unreadable(error, "the header cannot be read"))
        parts = dict.fromkeys(one.name for one in header.parts if one.name != GAP)
        rates = Counter(header.rate * signal.per_frame for signal in header.signals)
        return Named(tuple(header.files), tuple(parts), rates)


def _beside(record: str, name: str) -> str:
    folder, slash, _ = record.rpartition("/")
    return folder + slash + name
