"""Vectors of words by a file: as word2vec and GloVe write them in text, or of an encoder."""

import codecs
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
from safetensors import SafetensorError, safe_open

from medray.data.vectors import Vectors
from medray.errors import SpecError
from medray.log import event
from medray.modalities.text.tokens import normal
from medray.models.text.base import WORDS
from medray.spec.training import WordVectors

LONGEST = 1 << 20  # bytes of a line
BOM = codecs.BOM_UTF8
TEXT = (
    "a text has a word and its numbers a line; before them may stand how many of each there are. "
    "What is packed or binary (.gz, .zip, .bin) has to be written as text first"
)


def vectors_of(chosen: WordVectors, words: Sequence[str]) -> Vectors:
    """The vectors of a vocabulary's words.

    A word is looked up as the vocabulary has it, in lower case and with 0 for every digit: of
    several that are alike then the one that is written so counts, else the first.

    Args:
        chosen: the file.
        words: of the vocabulary.

    Raises:
        SpecError: a file is not there ("no-vectors") or not sound ("bad-vectors"), the tensor is
            not ("unknown-tensor"), the words are not those of its rows ("vectors-differ"), or none
            is of the vocabulary ("no-words-met").
    """
    places = {word: at for at, word in enumerate(words)}
    path = Path(chosen.file)
    try:
        if path.suffix == ".safetensors":
            found = _of_tensor(path, chosen, places)
        else:
            with path.open("rb") as file:
                found = _of_text(file, path, places)
    except OSError as error:
        raise SpecError(
            "the file of vectors cannot be read",
            code="no-vectors",
            about=str(error.filename or path),
        ) from None
    if not found:
        raise SpecError(
            "no word of the vocabulary has a vector",
            code="no-words-met",
            about=str(path),
            hint="take vectors of the language that the texts are in",
        )
    rows = np.array(sorted(found), np.int64)
    values = np.stack([found[at] for at in rows.tolist()])
    return Vectors("words.weight", rows + WORDS, values, len(words), path.name)


class _Met:
    """Which words of a vocabulary were met, each by the best of those that are alike.

    Args:
        places: rows by word.
    """

    def __init__(self, places: dict[str, int]) -> None:
        self._places = places
        self._exact = dict[int, bool]()

    def row(self, word: str) -> int | None:
        """The row that this word's vector is for; None: for none, or another's is as good."""
        exact = word in self._places
        at = self._places.get(word if exact else normal(word))
        if at is None or (at in self._exact and self._exact[at] >= exact):
            return None
        self._exact[at] = exact
        return at


def _of_text(file: BinaryIO, path: Path, places: dict[str, int]) -> dict[int, np.ndarray]:
    """Vectors by row, of a file of text.

    A word may hold blanks. Every line's numbers are counted; those of words that are met are read.
    Words that are no UTF-8, as some of a large file are, are nobody's, and the log counts them.
    """
    met, found = _Met(places), dict[int, np.ndarray]()
    width, stated, lines, broken = 0, None, 0, 0
    for number, fields in _lines(file, path):
        if number == 1 and len(fields) == 2 and all(one.isdigit() for one in fields):
            stated, width = (int(one) for one in fields)
            continue
        lines += 1
        width = width or len(fields) - 1
        more = len(fields) - 1 - width
        if width < 1:
            raise _bad(path, f"line {number} has no numbers")
        if more < 0 or (more and _is_number(fields[more])):
            raise _bad(path, f"line {number} has {len(fields) - 1} numbers for {width}")
        try:
            row = met.row(b" ".join(fields[: more + 1]).decode())
        except UnicodeDecodeError:
            row, broken = None, broken + 1
        if row is None:
            continue
        try:
            with np.errstate(over="ignore"):  # not finite then
                vector = np.array([float(one) for one in fields[more + 1 :]], np.float32)
        except ValueError:
            raise _bad(path, f"line {number} has something that is no number") from None
        if not np.isfinite(vector).all():
            raise _bad(path, f"line {number} has a number that is not finite")
        found[row] = vector
    if stated is not None and stated != lines:
        raise _bad(path, f"line 1 says {stated} words, and {lines} follow")
    if not lines:
        raise _bad(path, "there are no words")
    if broken:
        event("vectors-not-utf8", level=logging.WARNING, file=path.name, words=broken, of=lines)
    return found


def _lines(file: BinaryIO, path: Path) -> Iterator[tuple[int, list[bytes]]]:
    number = 0
    while line := file.readline(LONGEST):
        number += 1
        line = line.removeprefix(BOM) if number == 1 else line
        if len(line) == LONGEST or b"\0" in line:
            raise _bad(path, f"line {number} is no text")
        if fields := line.split():
            yield number, fields
        elif number == 1:
            raise _bad(path, "line 1 is empty")


def _is_number(field: bytes) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


def _of_tensor(path: Path, chosen: WordVectors, places: dict[str, int]) -> dict[int, np.ndarray]:
    """Vectors by row, of a tensor whose rows are the words of another file."""
    if chosen.vocabulary is None:
        raise SpecError(
            "a tensor does not say whose vectors its rows are",
            code="vectors-differ",
            about=str(path),
            hint="name the encoder's vocab.txt, a word a line, in `vocabulary`",
        )
    # Some of an encoder's words are ends of lines elsewhere, as U+2028: here only "\n" is.
    written = Path(chosen.vocabulary).read_bytes().removeprefix(BOM).removesuffix(b"\n")
    lines = [one.decode("utf-8", "replace") for one in written.replace(b"\r\n", b"\n").split(b"\n")]
    try:
        with safe_open(path, framework="pt") as file:
            shapes = {key: file.get_slice(key).get_shape() for key in list(file.keys())}
            name = _name(chosen, path, shapes)
            whole = file.get_tensor(name)
    except SafetensorError:
        raise _bad(path, "no sound safetensors file") from None
    if len(whole) != len(lines):
        raise SpecError(
            f"{name!r} has {len(whole)} rows, and {chosen.vocabulary} {len(lines)} words",
            code="vectors-differ",
            about=str(path),
            hint="a vocabulary has a word a line, in the order of the rows",
        )
    met, taken = _Met(places), dict[int, int]()
    for line, word in enumerate(lines):
        row = met.row(word)
        if row is not None:
            taken[row] = line
    values = whole[list(taken.values())].float().numpy()
    if not np.isfinite(values).all():
        raise _bad(path, f"{name!r} has a number that is not finite")
    return dict(zip(taken, values, strict=True))


def _name(chosen: WordVectors, path: Path, shapes: dict[str, list[int]]) -> str:
    """Of the tensor: the one that is chosen, or the only one of two axes."""
    matrices = sorted(name for name, shape in shapes.items() if len(shape) == 2)
    if chosen.tensor in matrices:
        return str(chosen.tensor)
    if chosen.tensor is None and len(matrices) == 1:
        return matrices[0]
    missing = f"there is no matrix {chosen.tensor!r}" if chosen.tensor else "there are several"
    raise SpecError(
        f"{missing}" if matrices else "there is no matrix",
        code="unknown-tensor",
        about=str(path),
        hint=f"name in `tensor` one of {', '.join(matrices[:8])}",
    )


def _bad(path: Path, message: str) -> SpecError:
    return SpecError(message, code="bad-vectors", about=str(path), hint=TEXT)
