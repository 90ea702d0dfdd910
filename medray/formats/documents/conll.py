"""CoNLL: a token a line with its tag, blank lines between sentences."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass, field
from itertools import chain
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from medray.errors import DataError
from medray.formats.base import Format, FormatOptions, Found, Input, Source
from medray.formats.documents.columns import (
    SPANS,
    TEXT,
    Document,
    Span,
    rows_of,
    spans_of,
)
from medray.formats.documents.iob import Scheme, entities_of, tags_of
from medray.formats.documents.options import DocumentOptions
from medray.formats.documents.phi.gate import Gate
from medray.formats.files import is_empty, item, nothing_found, open_path, place, replacing, walk
from medray.formats.naming import Apart
from medray.formats.tabular.text import Range, blocks, decoded, lines, ranges
from medray.storage.shards.holds import Holds, Needs, names
from medray.storage.shards.records import Refusal
from medray.storage.shards.samples import Sample

SUFFIXES = tuple(f".{one}{end}" for one in ("conll", "iob", "iob2", "bio", "tsv", "txt")
                 for end in ("", ".gz"))  # fmt: skip
DOCSTART = "-DOCSTART-"
MAX_REFUSED = 1000  # of one input that are listed one by one
_FIRST = (DOCSTART.encode(), b"\xef\xbb\xbf" + DOCSTART.encode())


class ConllOptions(DocumentOptions):
    """What the columns are."""

    token: int = Field(0, description="column of the token, from 0")
    tag: int = Field(-1, description="column of the tag; -1: the last")
    scheme: Scheme = Field("iob2", description="that tags are in, by which they are held")
    sample: Literal["sentence", "document"] = Field(
        "sentence",
        description="what makes a sample. Documents begin with -DOCSTART-, and sentences of one "
        "have it as their subject; in a file without, each sentence is a document",
    )


@dataclass
class _Sentence:
    """Lines between two blank ones: tokens and tags, or why there are none."""

    tokens: list[str] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    fault: DataError | None = None


class Conll(Format):
    """Sentences, or documents of several: tokens joined by blanks, sentences by line ends."""

    name: ClassVar[str] = "conll"
    Options: ClassVar[type[FormatOptions]] = ConllOptions
    options: ConllOptions

    def holds(self) -> Holds:
        """Documents with spans."""
        split = "split" if self.options.splits else None
        return Holds(names(), names("subject", TEXT, SPANS, split))

    def ready(self) -> None:
        """Look for the site's key.

        Raises:
            SpecError: it is missing or weak.
        """
        super().ready()
        Gate(self.options.phi)

    def ready_to_write(self) -> None:
        """Nothing: names are as they are stored."""

    def needs(self) -> Needs:
        """Text and spans."""
        return Needs(columns=names(TEXT, SPANS))

    def plan(self, source: Source) -> Found:
        """Stretches of files, cut between sentences, or before documents where there are some."""
        gate = Gate(self.options.phi)
        found, refused = walk(source, SUFFIXES)
        if is_empty(found, refused):
            nothing_found(source, "file of tagged tokens", f"they end in {', '.join(SUFFIXES)}")
        refused = [gate.refusal(one) for one in refused]
        groups: list[list[Input]] = []
        apart = Apart()
        for file in found:
            source.fetch(file.path)
            key = gate.name("document", file.path)
            try:
                apart.require(key)
                path = open_path(source, file.path)
                parted = next(blocks(path, size=len(DOCSTART) + 3), b"").startswith(_FIRST)
                mark = b"\n" + DOCSTART.encode() if parted else b"\n\n"
                pieces = list(ranges(path, mark))
                if not pieces:
                    raise DataError("the file is empty", code="empty-file")
            except DataError as error:
                refused.append(gate.refusal(Refusal.of(file.path, error, path=file.path)))
                continue
            finally:
                source.drop(file.path)
            for piece in pieces:
                extra = {
                    "range": list(astuple(piece)),
                    "parted": parted,
                    "hidden": gate.fingerprint,
                }
                made = item(f"{key}:{piece.first + 1}", [file], **extra)
                groups.append([made._replace(size=piece.size)])
        return Found(groups, refused)

    def shown(self, item: Input) -> tuple[str, str]:
        """Its file, where the job says that paths name nobody."""
        return ("" if self.options.phi.method == "keyed" else item.paths[0]), ""

    def read(self, source: Source, item: Input) -> Iterator[Sample | Refusal]:
        """All documents of the stretch as rows; those that can't be used are refused by name."""
        gate, options, refused = Gate(self.options.phi), self.options, 0
        piece = Range(*item.extra["range"])
        prefix = item.key.rpartition(":")[0].replace("/", "_")
        made = list[Document]()
        parted = bool(item.extra["parted"])
        split = options.split_of(item.paths[0])
        for number, several in self._units(open_path(source, item.paths[0]), piece, parted):
            document = f"{prefix}-{number:06d}"
            single = options.sample == "sentence"
            for at, sentences in enumerate([[one] for one in several] if single else [several]):
                name = f"{document}-{at + 1:04d}" if single and parted else document
                try:
                    one = self._document(name, document, sentences, split)
                    made.append(gate.passed(one))
                except DataError as error:
                    refused += 1
                    if refused > MAX_REFUSED:
                        raise DataError(
                            f"over {MAX_REFUSED} documents can't be used, the last one: "
                            f"{error.code}",
                            code="too-many-bad-documents",
                        ) from error
                    yield Refusal.of(item.key, error, sample=name)
        if made:
            yield rows_of(made, spans=True)

    def _units(
        self, path: Path, piece: Range, parted: bool
    ) -> Iterator[tuple[int, list[_Sentence]]]:
        """Number and sentences of each document; of a file without marks each sentence is one."""
        number, sentences, current = piece.first, list[_Sentence](), _Sentence()
        for raw in chain(lines(path, piece), (None,)):
            begins = raw is not None and raw.startswith(DOCSTART.encode())
            if raw and not begins:
                self._take(current, raw)
                continue
            if current.tokens or current.fault:
                sentences.append(current)
                current = _Sentence()
            if sentences and (raw is None or begins or not parted):
                number += 1
                yield number, sentences
                sentences = []

    def _take(self, sentence: _Sentence, raw: bytes) -> None:
        options = self.options
        try:
            line = decoded(raw)
            cells = line.split("\t") if "\t" in line else line.split()
            sentence.tokens.append(cells[options.token].strip())
            sentence.tags.append(cells[options.tag].strip())
            if len(cells) < 2 or not sentence.tokens[-1]:
                raise DataError("a line has no token, or no tag", code="uneven-row")
        except IndexError:
            sentence.fault = DataError("a line has too few columns", code="uneven-row")
        except DataError as error:
            sentence.fault = error

    def _document(
        self, name: str, document: str, sentences: Sequence[_Sentence], split: str | None
    ) -> Document:
        spans, parts, begin = list[Span](), list[str](), 0
        for one in sentences:
            if one.fault is not None:
                raise one.fault
            text = " ".join(one.tokens)
            starts = [begin]
            for token in one.tokens:
                starts.append(starts[-1] + len(token) + 1)
            for first, last, kind in entities_of(one.tags, self.options.scheme):
                spans.append(Span(starts[first], starts[last] - 1, kind))
            parts.append(text)
            begin += len(text) + 1
        text = "\n".join(parts)
        if len(text) > self.options.max_characters:
            raise DataError(f"it has {len(text)} characters", code="too-long")
        return Document(name, text, document, split, spans)

    def takes(self, names: frozenset[str]) -> frozenset[str]:
        """No array."""
        return frozenset()

    def write(self, samples: Iterable[Sample], target: Path) -> Iterator[Path]:
        """A file for each sample, tokens as blanks part them, IOB2 tags.

        Raises:
            DataError: a span does not begin and end with tokens ("span-inside-token"), shares one
                with another ("nested-spans"), or has gaps ("discontinuous-span").
        """
        for sample in samples:
            path = place(target, sample.id, ".conll")
            text = _written(str(sample.row[TEXT]), spans_of(sample.row))
            with replacing(path) as temporary:
                temporary.write_bytes(text.encode())
            yield path


def _written(text: str, spans: Sequence[Span]) -> str:
    tokens, sentences, begin = list[tuple[int, int]](), list[int](), 0
    for line in text.split("\n"):
        at = begin
        for token in line.split():
            at = text.index(token, at)
            tokens.append((at, at + len(token)))
            at += len(token)
        sentences.append(len(tokens))
        begin += len(line) + 1
    firsts = {begin: number for number, (begin, _) in enumerate(tokens)}
    lasts = {end: number + 1 for number, (_, end) in enumerate(tokens)}
    entities = []
    for span in spans:
        if span.parts:
            raise DataError(
                "tags can't tell of a span with gaps", code="discontinuous-span", hint="take brat"
            )
        if span.begin not in firsts or span.end not in lasts:
            raise DataError(
                "a span begins or ends inside of a token",
                code="span-inside-token",
                hint="write it as brat",
            )
        entities.append((firsts[span.begin], lasts[span.end], span.type))
    tags = tags_of(entities, len(tokens))
    made = []
    for number, ((first, last), tag) in enumerate(zip(tokens, tags, strict=True), start=1):
        made.append(f"{text[first:last]}\t{tag}\n")
        if number in sentences:
            made.append("\n")
    return "".join(made)
