"""Export: samples of a dataset to files outside of storage, with a receipt for each."""

import hashlib
import os
import shutil
import weakref
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, ClassVar

from medray.engine.units.operation import Operation, Unit
from medray.errors import FatalError
from medray.faults import point
from medray.formats import FORMATS
from medray.storage.shards.reader import Shard
from medray.storage.shards.records import Pinned, Refusal
from medray.storage.shards.samples import Sample
from medray.storage.store.objects import Objects


class Export(Operation):
    """Writes samples by the format's `write`.

    Files appear whole under their names (see medray.formats.files.replacing) and are on disk before
    the unit commits; doing a unit again replaces them by equal ones. To a bucket they go from a
    folder of this process's own, one by one.

    Parameters: `format` (options with `name`), `to` (folder, or URL of a bucket), `task` (of
    the model that made the samples, or None: its classes name the segments), `features` (array →
    names of its values, or None).
    Payload of a unit: `shard`, `rows` and, where there are images, `paired` (see
    medray.steps.base.planned).
    Output samples: one per sample, with `file`, `bytes` and `sha256`; of a format that puts many
    samples into a file, the same file for all of a unit, and `samples`, their number.
    """

    name: ClassVar[str] = "export"

    def __init__(self, objects: Objects, parameters: dict[str, Any]) -> None:
        super().__init__(objects, parameters)
        options = dict(parameters["format"])
        kind = FORMATS.get(options.pop("name"))
        self.format = kind(kind.Options.model_validate(options))
        to = str(parameters["to"])
        self.bucket = objects.beside(to) if "://" in to else None
        self.target = Path(to)
        if self.bucket is not None:
            self.target = Path(mkdtemp(prefix="medray-export-"))
            weakref.finalize(self, shutil.rmtree, self.target, ignore_errors=True)
        self.classes = (parameters.get("task") or {}).get("classes")
        self.features: dict[str, list[str]] = parameters.get("features") or {}
        self.many: bool = getattr(self.format, "many", False)
        self._joined: dict[str, dict[str, Any]] = {}
        # A unit reads one shard of samples and few of images, in order.
        self._shard = lru_cache(maxsize=8)(
            lambda *pinned: Shard(objects, Pinned(*pinned), in_order=True)
        )

    def load(self, unit: Unit, key: str) -> Iterator[Sample | Refusal]:
        """The sample with the arrays that the format takes; the image from the paired dataset.

        Of a format that puts many samples into a file, the receipt instead: the file is one for
        all of the unit, whichever of its samples is asked for first.
        """
        if self.many:
            yield Sample(key, dict(self._joint(unit)))
            return
        at = unit.inputs.index(key)
        shard, row = self._shard(*unit.payload["shard"]), unit.payload["rows"][at]
        own = frozenset(shard.names(row))
        paired = (unit.payload.get("paired") or [None] * len(unit.inputs))[at]
        source = self._shard(*unit.payload["beside"][paired[0]]) if paired else None
        lent = {"image"} & set(source.names(paired[1])) if source else frozenset[str]()
        wanted = self.format.takes(own | lent)
        values = shard.table.slice(row, 1).to_pylist()[0]
        sample = Sample(values.pop("sample_id"), values, layout=shard.layout(row))
        for name in sorted(wanted & own):
            sample.arrays[name] = shard.array(row, name)[...]
        if source and "image" in wanted - own:
            sample.arrays["image"] = source.array(paired[1], "image")[...]
        if self.classes and "label" in wanted:
            sample.row["class_names"] = list(self.classes)
        yield sample

    def compute(self, samples: Sequence[Sample]) -> Iterator[Sample]:
        """Receipts of the files written, one per sample."""
        if self.many:
            yield from samples
            return
        for sample in samples:
            for path in self.format.write([sample], self.target):
                yield Sample(sample.id, self._receipt(path))

    def _joint(self, unit: Unit) -> dict[str, Any]:
        done = self._joined.get(unit.id)
        if done is None:
            shard, rows = self._shard(*unit.payload["shard"]), unit.payload["rows"]
            samples = [
                Sample(values.pop("sample_id"), values)
                for values in shard.table.take(rows).to_pylist()
            ]
            for sample, row in zip(samples, rows, strict=True):
                for name in sorted(self.format.takes(frozenset(shard.names(row)))):
                    sample.arrays[name] = shard.array(row, name)[...]
                    if name in self.features:
                        sample.row["feature_names"] = self.features[name]
            (path,) = self.format.write(samples, self.target)
            done = {**self._receipt(path), "samples": len(samples)}
            self._joined[unit.id] = done
        return done

    def _receipt(self, path: Path) -> dict[str, Any]:
        return receipt_of(path, self.target, self.bucket)


def receipt_of(path: Path, target: Path, bucket: Objects | None) -> dict[str, Any]:
    """Name, bytes and hash of what a format wrote, once it is on disk, or in the bucket.

    Raises:
        FatalError: it is not in the target (code "outside-target").
    """
    if path.parent != target:
        raise FatalError("a format left its target", code="outside-target", about=path.name)
    point("export.written")
    size, sha256 = _settled(path)
    if bucket is not None:
        _move(path, bucket)
    return {"file": path.name, "bytes": size, "sha256": sha256}


def _move(path: Path, bucket: Objects) -> None:
    """Upload a file, or a folder's files, and remove it here."""
    if path.is_file():
        bucket.put(path.name, path.read_bytes())
        path.unlink()
        return
    for inside in sorted(place for place in path.rglob("*") if place.is_file()):
        bucket.put(inside.relative_to(path.parent).as_posix(), inside.read_bytes())
    shutil.rmtree(path)


def _settled(path: Path) -> tuple[int, str]:
    """Bytes and hash of a file, or of a folder's files with their names, once they are on disk."""
    if path.is_file():
        with path.open("rb") as file:
            os.fsync(file.fileno())
            return path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest()
    total, whole = 0, hashlib.sha256()
    for inside in sorted(place for place in path.rglob("*") if place.is_file()):
        size, sha256 = _settled(inside)
        total += size
        whole.update(f"{inside.relative_to(path).as_posix()}:{sha256}\n".encode())
    return total, whole.hexdigest()
