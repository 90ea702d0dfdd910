"""Tables of samples and their features: CSV, TSV, Parquet, ARFF and HDF5, one or several that are
joined."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from medray.errors import DataError, PassedOver
from medray.formats.base import FormatOptions, Found, Input, Source, joined
from medray.formats.files import File, is_empty, nothing_found, open_path, stem, walk
from medray.formats.joined import Joined, Look, Piece, Share, in_one_file
from medray.formats.naming import Apart
from medray.formats.packed import grouped
from medray.formats.table.features import Known
from medray.formats.table.joins import BLANK, WHY, decode, encode, join
from medray.formats.table.kinds import SUFFIXES, grouped_by_name, sheet
from medray.formats.table.options import FEATURES, TableOptions
from medray.formats.table.rows import row_of
from medray.formats.table.sheets import Record, Sheet, Survey
from medray.formats.table.write import write_rows
from medray.formats.tabular import delimited
from medray.formats.tabular.text import mind_the_end
from medray.storage.shards.holds import Holds, named, names
from medray.storage.shards.records import Refusal
from medray.storage.shards.samples import Sample, Slabs
from medray.storage.shards.schema import Arrays, ArraySpec, Axis

_UNNAMED = re.compile(r"|Unnamed: \d+|__index_level_\d+__")  # as data frames are saved
ROWS = ""  # the table of samples, among the names of arrays
GROUP = 4  # inputs, of 512 samples each, in a unit

__all__ = ["Table", "TableOptions"]


@dataclass(frozen=True)
class _Part:
    """Tables that belong together: array → its file, if it is there, and which group of it."""

    name: str
    split: str | None
    tables: Mapping[str, File | None]
    group: str = ""


class Table(Joined):
    """A row per sample: its features as one array, or one of each table where there are several.

    A sample that a table has no row for lacks that table's array, and so do all where a table has
    no column but those that are kept as they are (sites of a genome, say). The names of features
    stand once, in the dataset's attribute `features`: name of an array → names.
    """

    name: ClassVar[str] = "table"
    Options: ClassVar[type[FormatOptions]] = TableOptions
    options: TableOptions

    def arrays(self) -> Arrays:
        """The features of each table."""
        spec = ArraySpec((Axis("feature"),))
        return dict.fromkeys(self.options.tables or (FEATURES,), spec)

    def holds(self) -> Holds:
        """Features, and the columns that the options name."""
        options = self.options
        told = ("target", "class_name", "has_label") if options.targets else None
        split = "split" if options.split or options.parts else None
        fold = "fold" if options.fold else None
        return Holds(
            named(self.arrays()),
            names("subject", told, split, fold, options.columns),
            classes=options.classes or None,
        )

    def plan(self, source: Source) -> Found:
        """Every table is gone through once: its rows are counted, fingerprinted and joined."""
        files, refused = walk(source, SUFFIXES, own=tuple(self.options.feature_names.values()))
        if is_empty(files, refused):
            nothing_found(source, "table", f"files end in {', '.join(SUFFIXES)}")
        items: list[Input] = []
        columns: dict[str, list[str]] = {}
        seen: set[str] = set()
        apart = Apart()
        for part in self._parts({file.path: file for file in files}):
            try:
                if not self.options.id:
                    apart.require(stem(part.name, SUFFIXES))
                items += self._items(source, part, columns, seen)
            except DataError as error:
                refused.append(Refusal.of(part.name, error, files=len(part.tables)))
        named = {name: features for name, features in columns.items() if features}
        return Found(grouped(items, samples=GROUP), refused, {FEATURES: named} if named else {})

    def named(self) -> list[tuple[str, str]]:
        """Tables, and files with names of features."""
        options = self.options
        rows = [("rows", options.rows)] if options.rows else []
        tables = [*rows, *(("tables", path) for path in options.tables.values())]
        parts: tuple[str, ...] = tuple(options.parts) or ("",)
        named = [(name, path.replace("{part}", part)) for part in parts for name, path in tables]
        return [*named, *(("feature_names", path) for path in options.feature_names.values())]

    def read(self, source: Source, item: Input) -> Iterator[Sample | Refusal]:
        """Samples in order, each with the arrays that it has; rows without a sample are refused."""
        extra = item.extra
        for table, row, code in extra["left_over"]:
            place = f"{table or 'rows'}, row {row + 1}"
            wrong = (PassedOver if code == BLANK else DataError)(WHY[code], code=code)
            yield Refusal.of(item.key, wrong, sample=place)
        records: list[dict[str, Record | DataError]] = []
        for path, (table, encoded) in zip(item.paths, extra["rows"].items(), strict=True):
            rows = decode(encoded)
            records = records or [{} for _ in rows]
            wanted = {row: at for at, row in enumerate(rows) if row is not None}
            if wanted:
                first, line, offset = extra["starts"][table]
                reader = self._sheet(source, path, table, extra.get("group", ""))
                for row, record in reader.records(sorted(wanted), (first, line, offset)):
                    records[wanted[row]][table] = record
        for number, one in enumerate(records, extra["start"]):
            sample_id = f"{extra['name']}-{number:06d}"
            try:
                yield self._sample(sample_id, one, extra["split"])
            except DataError as error:
                yield Refusal.of(item.key, error, sample=f"sample {number + 1}")

    def takes(self, names: frozenset[str]) -> frozenset[str]:
        """No array: rows only."""
        return frozenset()

    def shares(
        self, about: dict[str, Any], look: Look, source: Source | None
    ) -> tuple[list[Share], list[Refusal]]:
        """All rows in one file, named as the dataset is."""
        return in_one_file(f"{about['name']}.{self.options.file}", look), []

    def join(
        self,
        file: str,
        item: Input | None,
        source: Source,
        pieces: Sequence[Piece],
        target: Path,
        about: dict[str, Any],
    ) -> Iterator[Path]:
        """One file with a row per sample; lists stand in CSV cells as JSON."""
        write_rows(pieces, target / file, self.options.file)
        yield target / file

    def _parts(self, files: Mapping[str, File]) -> Iterator["_Part"]:
        """Tables that belong together."""
        options = self.options
        named = {**({ROWS: options.rows} if options.rows else {}), **options.tables}
        for path, file in files.items() if not named else ():
            if not grouped_by_name(path) or not options.parts:
                yield _Part(path, None, {FEATURES: file})
                continue
            for group, told in options.parts.items():
                yield _Part(f"{stem(path, SUFFIXES)}/{group}", told, {FEATURES: file}, group)
        parts: Mapping[str, str | None] = options.parts or {"": None}
        for part, split in parts.items() if named else ():
            paths = {name: path.replace("{part}", part) for name, path in named.items()}
            found = {name: files.get(path) for name, path in paths.items()}
            yield _Part(part or "rows", split, found)

    def _items(
        self,
        source: Source,
        part: "_Part",
        columns: dict[str, list[str]],
        seen: set[str],
    ) -> list[Input]:
        files = {name: file for name, file in part.tables.items() if file is not None}
        if len(files) < len(part.tables):
            lacking = ", ".join(name or "rows" for name in part.tables if name not in files)
            raise DataError(f"tables that are not there: {lacking}", code="missing-file")
        surveys: dict[str, Survey] = {}
        for name, file in files.items():
            source.fetch(file.path)
            reader = self._sheet(source, file.path, name, part.group)
            surveys[name] = reader.survey(self.options.id)
            if file.path.endswith(delimited.SUFFIXES):
                mind_the_end(open_path(source, file.path), file.path)
            source.drop(file.path)
        by_id = self._check(surveys)
        for name, survey in surveys.items():
            if name != ROWS:
                self._agree(source, name, survey, columns)
        cut, left = join(surveys, by_id=by_id, leading=ROWS in surveys, seen=seen)
        if not cut:
            raise DataError("no row makes a sample", code=left[0].code if left else "empty-table")
        size = sum(file.size for file in files.values()) // len(cut)
        return [
            Input(
                key=f"{part.name}:{one.start}",
                paths=tuple(file.path for file in files.values()),
                fingerprint=one.fingerprint,
                size=size,
                stamp=joined([file.stamp for file in files.values()]),
                extra={
                    "name": stem(part.name, SUFFIXES).replace("/", "_"),
                    "split": part.split,
                    **({"group": part.group} if part.group else {}),
                    "start": one.start,
                    "rows": {name: encode(rows) for name, rows in one.rows.items()},
                    "starts": {name: list(start) for name, start in one.starts.items()},
                    "left_over": [
                        [row.table, row.row, row.code] for row in (left if one is cut[0] else ())
                    ],
                },
            )
            for one in cut
        ]

    def _check(self, surveys: Mapping[str, Survey]) -> bool:
        """Every column that the options name is somewhere; whether rows are joined by ids."""
        options = self.options
        there = {name for survey in surveys.values() for name in survey.columns}
        named = {*options.known, *options.categories, *options.numbers}
        lacking = named - set(options.drop) - there
        if options.transposed:
            lacking.discard(options.id or "")
        if lacking:
            raise DataError(
                f"no column is called {min(lacking)!r}",
                code="no-such-column",
                hint="check the options; without `header` columns are called 0, 1, …",
            )
        by_id = len(surveys) > 1 and options.join == "id"
        if by_id and not all(survey.keys for survey in surveys.values()):
            raise DataError(f"a table has no column {options.id!r} to join by", code="no-id")
        return by_id

    def _agree(
        self, source: Source, name: str, survey: Survey, columns: dict[str, list[str]]
    ) -> None:
        """The features of a table are those of the array's other tables."""
        features = list(survey.features)
        if name in self.options.feature_names:
            given = self._names(source, self.options.feature_names[name])
            if len(given) != len(features):
                raise DataError(
                    f"{len(given)} names for {len(features)} features", code="uneven-names"
                )
            features = given
        if unnamed := [feature for feature in features if _UNNAMED.fullmatch(feature)]:
            raise DataError(
                f"a column is called {unnamed[0]!r}, as numbers of rows are",
                code="unnamed-column",
                hint="`drop` it, or take it for `id`; give it a name if it is a feature",
            )
        bare = not features and not self.options.columns
        if bare or len(features) > self.options.max_features:
            raise DataError(
                f"the table has {len(features)} features",
                code="no-features" if bare else "too-many-features",
            )
        if columns.setdefault(name, features) != features:
            raise DataError(
                "the features are not those of the table before it",
                code="other-columns",
                hint="tables of one dataset have the same columns in the same order",
            )

    @staticmethod
    def _names(source: Source, path: str) -> list[str]:
        source.fetch(path)
        names = [row.cells[0].strip() for row in delimited.read_all(open_path(source, path))]
        source.drop(path)
        return names

    def _known(self, table: str) -> frozenset[str]:
        """Columns of a table that are no features."""
        options = self.options
        if table != ROWS and options.transposed:
            return frozenset()
        if table == ROWS or not options.rows:
            return options.known
        return frozenset({*options.drop, *([] if options.id is None else [options.id])})

    def _sheet(self, source: Source, path: str, table: str, group: str) -> Sheet:
        options = self.options
        unseen = options.unseen == "column"
        return sheet(
            open_path(source, path),
            Known(
                self._known(table),
                options.categories,
                unseen,
                options.numbers,
                options.written,
            ),
            group,
            header=options.header,
            transposed=options.transposed and table != ROWS,
        )

    def _sample(
        self, sample_id: str, records: Mapping[str, Record | DataError], split: str | None
    ) -> Sample:
        """One sample of its rows in each table.

        Raises:
            DataError: a row is bad, or it lacks a value that must be there.
        """
        known: dict[str, Any] = {}
        arrays: dict[str, np.ndarray | Slabs] = {}
        place = ""
        for name, record in records.items():
            if isinstance(record, DataError):
                raise record
            place = place or record.place
            known = {**record.known, **known}
            if name == ROWS:
                continue
            if self.options.missing == "refuse" and np.isnan(record.features).any():
                raise DataError(f"{record.place} lacks values", code="missing-values")
            if record.features.size:
                arrays[name] = record.features
        if self.options.id is not None:
            sample_id = str(known.get(self.options.id) or sample_id)
        try:
            row = row_of(self.options, sample_id, known)
        except DataError as error:
            raise DataError(f"{place}: {error.message}", code=error.code) from error
        if split is not None:
            row["split"] = split
        return Sample(sample_id, row, arrays)
