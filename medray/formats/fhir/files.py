"""Files of FHIR as inputs: a bundle is one, and so is each piece of a file of lines."""

from collections.abc import Iterator
from typing import Protocol

from blake3 import blake3

from medray.errors import DataError, PassedOver
from medray.formats.base import Input, Source
from medray.formats.files import File, is_empty, item, nothing_found, open_path, walk
from medray.formats.tabular.text import Range, blocks, ranges
from medray.storage.shards.records import Refusal

LINES = (".ndjson", ".ndjson.gz", ".jsonl", ".jsonl.gz")
SUFFIXES = (".json", ".json.gz", *LINES)


class Hides(Protocol):
    """What stands for names of files."""

    fingerprint: str

    def name(self, kind: str, value: str) -> str: ...
    def refusal(self, refused: Refusal) -> Refusal: ...


def inputs_of(source: Source, hidden: Hides) -> tuple[list[Input], list[Refusal]]:
    """The inputs of a folder, in order of their files, and what can't be read there. Of a file and
    its gzipped copy one is an input.

    Args:
        source: to look through.
        hidden: names of files in keys and in the quarantine.

    Raises:
        SpecError: nothing is there.
    """
    files, refused = walk(source, SUFFIXES)
    if is_empty(files, refused):
        nothing_found(source, "FHIR resource", f"files end in {', '.join(SUFFIXES)}")
    plain = {file.path for file in files if not file.path.endswith(".gz")}
    inputs: list[Input] = []
    for file in files:
        key = hidden.name("file", file.path)
        try:
            source.fetch(file.path)
            if file.path.endswith(".gz") and file.path[:-3] in plain:
                _no_copy(source, file.path)
            if file.path.lower().endswith(LINES):
                inputs += _pieces(source, key, file, hidden.fingerprint)
            else:
                inputs.append(item(key, [file], piece=None, secret=hidden.fingerprint))
        except DataError as error:
            refused.append(Refusal.of(file.path, error, path=file.path))
        finally:
            source.drop(file.path)
    return inputs, [hidden.refusal(one) for one in refused]


def piece_of(item: Input) -> Range | None:
    """The lines of an input; None of a bundle."""
    piece = item.extra["piece"]
    return Range(**piece) if piece else None


def _pieces(source: Source, key: str, file: File, secret: str) -> Iterator[Input]:
    pieces = list(ranges(open_path(source, file.path)))
    if not pieces:
        raise DataError("the file is empty", code="empty-file")
    for at, piece in enumerate(pieces):
        one = item(f"{key}:{at}", [file], piece=vars(piece), secret=secret)
        yield one._replace(size=piece.size)


def _no_copy(source: Source, path: str) -> None:
    """Raise PassedOver where a gzipped file is the same as the plain one beside it."""
    source.fetch(path[:-3])
    hashes = []
    for one in (path, path[:-3]):
        hashed = blake3()
        for block in blocks(open_path(source, one)):
            hashed.update(block)
        hashes.append(hashed.digest())
    source.drop(path[:-3])
    if hashes[0] == hashes[1]:
        raise PassedOver("a gzipped copy of the file beside it", code="copy")
