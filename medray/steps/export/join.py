"""Join: rows of many units in one file; first its parts, where the format makes some."""

import weakref
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import Any, ClassVar, cast

import numpy as np
import pyarrow as pa

from medray.engine.units.operation import Operation, Unit
from medray.errors import DataError, FatalError, RetryableError
from medray.formats import FORMATS
from medray.formats.base import Input, Source
from medray.formats.bucket import fetched
from medray.formats.held import CHANGED, held
from medray.formats.joined import Joined, Piece, Share
from medray.steps.export.operation import receipt_of
from medray.storage.catalog.ledger import Ledger
from medray.storage.shards.reader import Shard, selected
from medray.storage.shards.records import Pinned, Refusal
from medray.storage.shards.samples import Sample
from medray.storage.shards.schema import Arrays, ArraySpec, Axis
from medray.storage.shards.writer import table_of
from medray.storage.store.objects import Objects

PART = "part"  # array of a part's bytes
READ_BYTES = 16 * 2**20


class _OfShares(Operation):
    """What parts and joins have in common.

    Parameters: `format` (options with `name`), `about` (see medray.formats.joined), `where` (see
    medray.storage.shards.reader.selected), `shards` (each a Pinned).
    """

    def __init__(self, objects: Objects, parameters: dict[str, Any]) -> None:
        super().__init__(objects, parameters)
        options = dict(parameters["format"])
        kind = FORMATS.get(options.pop("name"))
        self.format = cast("Joined", kind(kind.Options.model_validate(options)))
        raw = self.format.raw
        self.bucket = objects.beside(raw) if "://" in raw else None

    @contextmanager
    def source(self, item: Input | None) -> Iterator[Source]:
        """Where the raw files of a share are, held against the plan."""
        if item is None:
            yield Source(Path(self.format.raw))
            return
        here = nullcontext(Source(Path(self.format.raw)))
        there = here if self.bucket is None else fetched(self.bucket, item.paths)
        try:
            with there as source, held(source, self.format, item):
                yield source
        except DataError as error:
            if error.code != CHANGED:
                raise
            # Of a file that is joined nothing may be left out: the step fails, and can be resumed.
            raise RetryableError(
                error.message, code=CHANGED, about=item.key, hint=error.hint
            ) from error

    def rows(self, ranges: list[list[int]]) -> pa.Table:
        """Stored rows, in order."""
        where, shards = self.parameters["where"], self.parameters["shards"]
        tables = [
            selected(self.objects, Pinned(*shards[number]), start, stop, where)
            for number, start, stop in ranges
        ]
        return pa.concat_tables(tables, promote_options="permissive") if tables else table_of([])


class Part(_OfShares):
    """Turns shares into bytes, which wait in storage to be joined.

    Payload of a unit: `file`, `ranges` and `item` of a Share; its key is the unit's one input.
    Output samples: one, with `file`, `rows` and `bytes`, and the bytes as array `part`.
    """

    name: ClassVar[str] = "part"
    arrays: ClassVar[Arrays] = {PART: ArraySpec((Axis("byte"),), ("uint8",))}

    def load(self, unit: Unit, key: str) -> Iterator[Sample | Refusal]:
        """The part."""
        payload = unit.payload
        item, rows = item_of(payload["item"]), self.rows(payload["ranges"])
        with self.source(item) as source:
            data = self.format.part(item, source, rows, self.parameters["about"])
        row = {"file": payload["file"], "rows": rows.num_rows, "bytes": len(data)}
        # An empty array has no chunk to be stored in.
        arrays = {PART: np.frombuffer(data, np.uint8)} if data else {}
        yield Sample(key, row, dict(arrays))


class Join(_OfShares):
    """Puts the shares of a file together. The file appears whole, under its name, at the end.

    Parameters: besides, `to` (folder, or URL of a bucket), `parts` (dataset whose ledger has them).
    Payload of a unit: `item` of the first share; `ranges` of each share; `parts`, their units.
    Output samples: one for each file written, with `file`, `bytes`, `sha256` and `shares`.
    """

    name: ClassVar[str] = "join"

    def __init__(self, objects: Objects, parameters: dict[str, Any]) -> None:
        super().__init__(objects, parameters)
        to = str(parameters["to"])
        self.to_bucket = objects.beside(to) if "://" in to else None
        self.target = Path(to)
        if self.to_bucket is not None:
            self.target = Path(mkdtemp(prefix="medray-export-"))
            weakref.finalize(self, rmtree, self.target, ignore_errors=True)

    def load(self, unit: Unit, key: str) -> Iterator[Sample | Refusal]:
        """Receipts of the files; `key` is the name of the first."""
        payload = unit.payload
        parts = payload["parts"] or [None] * len(payload["ranges"])
        pieces = [
            Piece(partial(self.rows, ranges), partial(self._part, part))
            for ranges, part in zip(payload["ranges"], parts, strict=True)
        ]
        item = item_of(payload["item"])
        with self.source(item) as source:
            paths = list(
                self.format.join(key, item, source, pieces, self.target, self.parameters["about"])
            )
        for path in paths:
            receipt = receipt_of(path, self.target, self.to_bucket)
            yield Sample(path.name, {**receipt, "shares": len(pieces)})

    def _part(self, unit: str) -> Iterator[bytes]:
        commit = Ledger(self.objects, self.parameters["parts"]).commit_of(unit)
        if commit is None or commit.shard.rows != 1:
            raise FatalError(
                "a part of the file was refused, so there can be no file",
                code="missing-part",
                about=unit,
                hint="`medray show` of the dataset that is exported may tell what is damaged",
            )
        shard = Shard(self.objects, commit.shard.pinned)
        if PART in shard.names(0):
            data = shard.array(0, PART)
            for start in range(0, data.shape[0], READ_BYTES):
                yield data[start : start + READ_BYTES].tobytes()


def item_fields(share: Share) -> dict[str, Any] | None:
    """Its item, JSON-able."""
    if share.item is None:
        return None
    return {**share.item._asdict(), "paths": list(share.item.paths)}


def item_of(fields: dict[str, Any] | None) -> Input | None:
    """What `item_fields` made."""
    return None if fields is None else Input(**{**fields, "paths": tuple(fields["paths"])})
