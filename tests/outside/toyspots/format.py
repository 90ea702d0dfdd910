"""The format `spots`: a JSON file for each sample, read and written."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from medray.errors import DataError
from medray.formats.base import Format, FormatOptions, Found, Input, Source
from medray.formats.files import is_empty, item, nothing_found, open_path, place, replacing, walk
from medray.formats.packed import grouped
from medray.storage.shards.holds import Holds, Needs, named, names
from medray.storage.shards.records import Refusal
from medray.storage.shards.samples import Sample
from medray.storage.shards.schema import Arrays, ArraySpec, Axis

SUFFIX = ".spots.json"
POINTS = ArraySpec((Axis("point"), Axis("xy")), ("float32",), ragged=True)
MARKS = ArraySpec((Axis("mark"), Axis("field")), ("int32",), ragged=True)
WIDTHS = {"points": (2, np.float32), "marks": (3, np.int32)}


class Spots(Format):
    """Points (point, 2) float32 and marks (mark, 3) int32: which point, its colour, its size."""

    name: ClassVar[str] = "spots"

    class Options(FormatOptions):
        """None."""

    def arrays(self) -> Arrays:
        """Both are ragged."""
        return {"points": POINTS, "marks": MARKS}

    def holds(self) -> Holds:
        """Both, and what is to be learnt."""
        return Holds(named(self.arrays()), names("subject", "weight"))

    def needs(self) -> Needs:
        """Both."""
        return Needs((names("points"), names("marks")))

    def plan(self, source: Source) -> Found:
        """A file each."""
        found, refused = walk(source, (SUFFIX,))
        if is_empty(found, refused):
            nothing_found(source, "file of spots", f"names end in {SUFFIX}")
        return Found(grouped((item(one.path, [one]) for one in found), samples=40), refused)

    def read(self, source: Source, item: Input) -> Iterator[Sample | Refusal]:
        """One sample."""
        try:
            held = json.loads(open_path(source, item.paths[0]).read_text())
            arrays = {
                name: np.asarray(held[name], dtype).reshape(-1, width)
                for name, (width, dtype) in WIDTHS.items()
            }
            row = {"subject": str(held["subject"]), "weight": float(held["weight"])}
        except (KeyError, TypeError, ValueError) as error:
            raise DataError("the file holds no spots", code="no-spots") from error
        yield Sample(str(held["id"]), row, arrays)

    def write(self, samples: Iterable[Sample], target: Path) -> Iterator[Path]:
        """A file for each sample."""
        for sample in samples:
            held: dict[str, Any] = {
                name: np.asarray(sample.arrays[name]).tolist() for name in WIDTHS
            }
            held |= {"id": sample.id} | {name: sample.row[name] for name in ("subject", "weight")}
            path = place(target, sample.id, SUFFIX)
            with replacing(path) as temporary:
                temporary.write_text(json.dumps(held, sort_keys=True))
            yield path
