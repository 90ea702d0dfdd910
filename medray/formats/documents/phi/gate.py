"""The gate: what names people in a document is replaced, annotations move along, and a document in
which something may be left does not pass.

Replaced are names (by list, and by what stands before them), dates, addresses, numbers of
telephones, records and accounts, e-mail, URLs, and ages over 89. A name, a number and an address
become their kind and a pseudonym under the site's key, so what is the same in two documents stays
the same. Dates move by the days that all of a subject's move by, in recordings too; a date that is
none is taken out.
"""

import datetime
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from medray.errors import DataError, SpecError
from medray.formats.documents.columns import Document, Span
from medray.formats.documents.phi.dates import PATTERNS as DATES
from medray.formats.documents.phi.dates import shifted
from medray.formats.documents.phi.introduced import BESIDE, introduced
from medray.formats.documents.phi.names import EPONYMS, GIVEN, SURNAMES, listed
from medray.formats.documents.phi.options import Phi
from medray.formats.documents.phi.patterns import LEFT, PATTERNS
from medray.formats.signal.deidentify import Pseudonyms
from medray.storage.shards.records import Refusal

DIGITS = 8  # of a pseudonym, in hex: of a million names one pair in a hundred sites is alike
_WORDS = re.compile(r"[^\W\d_]+(?:['\u2019-][^\W\d_]+)*")
_OWN = re.compile(r"['\u2019][sS]$")
_COMMON = listed(
    """
    the a an he she it they we i you his her in on at of and or no not is was had has who with
    for history patient denies reports states today yesterday doctor nurse unit hospital clinic
    diagnosed also then there this that please yes okay practitioner visit assessment assistant
    station room let here what where how dear colleague colleagues sir madam team parents
    sincerely regards yours
    """
)

Found = tuple[int, int, str, str]
"""Begin, end, kind, what is put there."""


class Gate:
    """A pure function of options, key and document.

    Args:
        options: of the job.

    Raises:
        SpecError: there is no key or a weak one ("no-deid-key", "weak-deid-key"), or the file of
            names can't be read ("no-names").
    """

    def __init__(self, options: Phi) -> None:
        self._options = options
        self._hidden = Pseudonyms(options)
        self._names = _names(options.names) if options.names else frozenset[str]()
        self.fingerprint = self._hidden.fingerprint
        """Changes with the key, says nothing about it."""

    def name(self, kind: str, value: str) -> str:
        """What stands for a name of a file, a document or a subject."""
        return self._hidden.name(kind, value)

    def refusal(self, refused: Refusal) -> Refusal:
        """A refusal as the quarantine may show it."""
        return self._hidden.refusal(refused)

    def passed(self, document: Document, people: Iterable[str] = ()) -> Document:
        """The document without what names people: text, and every text that is kept beside it.

        Args:
            document: with the subject's name as the file has it.
            people: names that are known to stand in it, as the patient's.

        Raises:
            DataError: something that may name people is left (code "phi-left"), or the text has
                characters that hide others from any pattern ("phi-unreadable").
        """
        if not self._hidden.keyed:
            return document
        known = {word for name in people for word in _words(name)}
        text, moves = self._cleaned(document.text, document.subject, known)
        columns = {
            name: self._cleaned(value, document.subject, known)[0]
            if isinstance(value, str)
            else value
            for name, value in document.columns.items()
        }
        spans = None if document.spans is None else [_moved(one, moves) for one in document.spans]
        subject = self.name("subject", document.subject)
        return replace(document, text=text, spans=spans, columns=columns, subject=subject)

    def _cleaned(self, text: str, subject: str, known: set[str]) -> tuple[str, list[Found]]:
        if any(_hides(letter) for letter in text):
            raise DataError(
                "the text has letters or digits that look like others",
                code="phi-unreadable",
                hint="normalise it (NFKC), and take characters without width and accents that are "
                "left out",
            )
        taken = [*self._dates(text, subject), *self._forms(text), *self._people(text, known)]
        found = _apart(taken)
        rest = text
        for begin, end, *_ in found:
            rest = rest[:begin] + "\0" * (end - begin) + rest[end:]
        if any(pattern.search(rest) for pattern in LEFT):
            raise DataError(
                "something is left in the text that may name somebody",
                code="phi-left",
                hint="look at the document; names of the site go into `phi: {names: …}`",
            )
        made, at = [], 0
        for begin, end, _, new in found:
            made += [text[at:begin], new]
            at = end
        return "".join([*made, text[at:]]), found

    def _dates(self, text: str, subject: str) -> Iterable[Found]:
        def shift(day: datetime.date) -> datetime.date:
            moment = datetime.datetime.combine(day, datetime.time())
            return datetime.datetime.fromisoformat(self._hidden.start(moment, subject)).date()

        day_first = self._options.dates == "day first"
        for pattern in DATES:
            for one in pattern.finditer(text):
                yield one.start(), one.end(), "date", shifted(one, day_first, shift) or "[date]"

    def _forms(self, text: str) -> Iterable[Found]:
        for kind, pattern in PATTERNS:
            for one in pattern.finditer(text):
                group = "value" if "value" in pattern.groupindex else 0
                new = "[90 or over]" if kind == "age" else self._pseudonym(kind, one[group])
                yield one.start(group), one.end(group), kind, new

    def _people(self, text: str, known: set[str]) -> Iterable[Found]:
        """Every word of a name, and each other place in the text where such a word stands."""
        words = known.union(*map(_words, introduced(text)))
        for one in _WORDS.finditer(text):
            word = _OWN.sub("", one[0]).casefold()
            if word in self._names:
                words.add(word)
            if not one[0][0].isupper():
                continue
            if word in GIVEN:
                words.add(word)
                beside = BESIDE.match(text, one.end())
                if beside is not None:
                    words |= _words(beside["name"])
            elif word in SURNAMES and word not in EPONYMS:
                words.add(word)
        words = {word for word in words if len(word) > 1 and word not in _COMMON}
        for one in _WORDS.finditer(text):
            own = _OWN.sub("", one[0]).casefold()
            in_list = own in self._names or own in GIVEN or own in SURNAMES
            if own in words and (one[0][0].isupper() or in_list):
                yield one.start(), one.start() + len(own), "name", self._pseudonym("name", own)

    def _pseudonym(self, kind: str, value: str) -> str:
        plain = re.sub(r"\W", "", value).casefold()
        return f"[{self.name(kind, plain)[: len(kind) + 1 + DIGITS]}]"


def _words(name: str) -> set[str]:
    return {_OWN.sub("", word).casefold() for word in _WORDS.findall(name)}


def _moved(span: Span, moves: Sequence[Found]) -> Span:
    """A span over what stands there now; one that cuts into a name has all of what replaces it."""

    def moved(place: int, ends: bool) -> int:
        shift = 0
        for begin, end, _, new in moves:
            if place <= begin:
                break
            if place < end:
                return begin + shift + (len(new) if ends else 0)
            shift += len(new) - (end - begin)
        return place + shift

    parts = tuple(moved(place, bool(at % 2)) for at, place in enumerate(span.parts))
    return replace(span, begin=moved(span.begin, False), end=moved(span.end, True), parts=parts)


def _apart(found: Iterable[Found]) -> list[Found]:
    """Stretches without overlap, in order: of two the one that was found first by a longer one."""
    kept: list[Found] = []
    for one in sorted(found, key=lambda one: (one[0] - one[1], one[0])):
        if all(one[1] <= begin or end <= one[0] for begin, end, *_ in kept):
            kept.append(one)
    return sorted(kept)


def _hides(letter: str) -> bool:
    """Whether no pattern can see what a reader does: no width, digits and letters of width, or
    accents apart from their letters."""
    if letter.isascii():
        return False
    kind = unicodedata.category(letter)
    if kind in ("Cf", "Nd") or unicodedata.combining(letter):
        return True
    folded = unicodedata.normalize("NFKC", letter)
    return folded != letter and folded.isascii() and folded.isalnum() and kind in ("Lu", "Ll")


@lru_cache(maxsize=4)
def _names(path: str) -> frozenset[str]:
    try:
        lines = Path(path).read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        raise SpecError("the file of names cannot be read", code="no-names", about=path) from None
    return frozenset(word.casefold() for line in lines for word in _WORDS.findall(line))
