"""BRAT: texts with stand-off annotations beside them, in folders or in ZIP archives."""

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import ClassVar
from zipfile import ZipFile

from pydantic import Field

from medray.errors import DataError
from medray.formats.base import Format, FormatOptions, Found, Input, Source
from medray.formats.documents import ann, archive
from medray.formats.documents.columns import (
    RELATIONS,
    SPANS,
    TEXT,
    Document,
    relations_of,
    rows_of,
    spans_of,
)
from medray.formats.documents.options import DocumentOptions
from medray.formats.documents.phi.gate import Gate
from medray.formats.files import (
    OTHER,
    File,
    is_empty,
    item,
    nothing_found,
    open_path,
    place,
    replacing,
    walk,
)
from medray.formats.naming import Apart
from medray.formats.packed import grouped
from medray.formats.tabular.text import decoded
from medray.storage.shards.holds import Holds, Needs, names
from medray.storage.shards.records import Refusal
from medray.storage.shards.samples import Sample

OF_TEXT, OF_MARKS, ZIP = ".txt", ".ann", ".zip"
TOGETHER = 256  # documents of a unit, or of an archive that are one input
ANN_BYTES = 64 * 2**20
OTHERS = "other_annotations"


class BratOptions(DocumentOptions):
    """What is read beside the text."""

    annotated: bool = Field(True, description="false: only texts are read, and .ann files are not")


class Brat(Format):
    """A document a text: entities as spans, relations between them."""

    name: ClassVar[str] = "brat"
    Options: ClassVar[type[FormatOptions]] = BratOptions
    options: BratOptions

    def holds(self) -> Holds:
        """Documents, with spans where there are annotations."""
        marked = (SPANS, RELATIONS, OTHERS) if self.options.annotated else None
        split = "split" if self.options.splits else None
        return Holds(names(), names("subject", TEXT, marked, split))

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
        """A text with its annotations is an input; of an archive so many documents are one."""
        gate = Gate(self.options.phi)
        found, refused = walk(source, (OF_TEXT, OF_MARKS, ZIP))
        if is_empty(found, refused):
            nothing_found(source, "text", "texts end in .txt, with .ann beside, or lie in a .zip")
        inputs, apart = list[Input](), Apart()
        by_path = {file.path: file for file in found}
        refused += _alone(by_path, self.options.annotated)
        for path, file in by_path.items():
            if _is(path, ZIP):
                source.fetch(path)
                try:
                    made, lost = self._of_archive(file, open_path(source, path), gate, apart)
                except DataError as error:
                    refused.append(Refusal.of(path, error, path=path))
                else:
                    inputs += made
                    refused += lost
                source.drop(path)
            elif _is(path, OF_TEXT):
                marks = by_path.get(_other(path, by_path))
                pair = [file, marks] if self.options.annotated and marks else [file]
                if len(pair) < 1 + self.options.annotated:
                    continue
                key = gate.name("document", path[: -len(OF_TEXT)])
                try:
                    apart.require(key)
                except DataError as error:
                    refused.append(Refusal.of(path, error, path=path, files=len(pair)))
                else:
                    inputs.append(item(key, pair, hidden=gate.fingerprint))
        inputs.sort(key=lambda one: one.key)
        return Found(grouped(inputs, samples=TOGETHER), [gate.refusal(one) for one in refused])

    def shown(self, item: Input) -> tuple[str, str]:
        """Its file, where the job says that paths name nobody."""
        return ("" if self.options.phi.method == "keyed" else item.paths[0]), ""

    def read(self, source: Source, item: Input) -> Iterator[Sample | Refusal]:
        """A document, or those of an archive that the input has."""
        gate, paths = Gate(self.options.phi), item.paths
        members: Sequence[str] | None = item.extra.get("members")
        made = list[Document]()
        if members is None:
            most = 4 * self.options.max_characters
            content = [_content(open_path(source, path), most) for path in paths]
            made.append(gate.passed(self._document(paths[0], gate, content)))
        else:
            with archive.opened(open_path(source, paths[0])) as held:
                for name in members:
                    path = f"{paths[0]}/{name}"
                    try:
                        made.append(
                            gate.passed(self._document(path, gate, self._parts(held, name)))
                        )
                    except DataError as error:
                        yield Refusal.of(item.key, error, sample=_name(path, gate))
        if made:
            marked = self.options.annotated
            yield rows_of(made, spans=marked, relations=marked)

    def _parts(self, held: ZipFile, name: str) -> list[bytes]:
        most = 4 * self.options.max_characters
        parts = [archive.member(held, name, most)]
        if self.options.annotated:
            parts.append(archive.member(held, _other(name, held.NameToInfo), ANN_BYTES))
        return parts

    def _of_archive(
        self, file: File, path: Path, gate: Gate, apart: Apart
    ) -> tuple[list[Input], list[Refusal]]:
        with archive.opened(path) as held:
            members = {
                one.filename: file
                for one in held.infolist()
                if not one.is_dir() and not PurePosixPath(one.filename).name.startswith(".")
            }
        below = {f"{file.path}/{name}": file for name in members}
        lost = _alone(below, self.options.annotated)
        texts, made = list[str](), list[Input]()
        for name in sorted(members):
            if _is(name, OF_TEXT) and (not self.options.annotated or _other(name, members)):
                try:
                    apart.require(_name(f"{file.path}/{name}", gate))
                except DataError as error:
                    lost.append(Refusal.of(f"{file.path}/{name}", error, path=file.path))
                else:
                    texts.append(name)
        for start in range(0, len(texts), TOGETHER):
            key = f"{gate.name('document', file.path)}:{start + 1}"
            some = texts[start : start + TOGETHER]
            made.append(item(key, [file], members=some, hidden=gate.fingerprint))
        return made, lost

    def _document(self, path: str, gate: Gate, content: Sequence[bytes]) -> Document:
        text = decoded(content[0])
        if len(text) > self.options.max_characters:
            raise DataError(f"it has {len(text)} characters", code="too-long")
        if not text.strip():
            raise DataError("the document is empty", code="no-text")
        name = _name(path, gate)
        subject = path[: -len(OF_TEXT)]
        split = self.options.split_of(path)
        if len(content) == 1:
            return Document(name, text.removeprefix(ann.MARK), subject, split)
        text, found = ann.beside(decoded(content[1]), text)
        return Document(
            name, text, subject, split, found.spans, found.relations, {OTHERS: found.others}
        )

    def takes(self, names: frozenset[str]) -> frozenset[str]:
        """No array."""
        return frozenset()

    def write(self, samples: Iterable[Sample], target: Path) -> Iterator[Path]:
        """A folder for each sample: its text, and its annotations."""
        for sample in samples:
            path, text = place(target, sample.id, ""), str(sample.row[TEXT])
            spans = spans_of(sample.row)
            marks = ann.write(spans, relations_of(sample.row, len(spans)), text)
            with replacing(path) as temporary:
                temporary.mkdir()
                (temporary / f"{sample.id}{OF_TEXT}").write_bytes(text.encode())
                (temporary / f"{sample.id}{OF_MARKS}").write_bytes(marks.encode())
            yield path


def _is(path: str, suffix: str) -> bool:
    return path.lower().endswith(suffix)


def _other(path: str, files: Container[str]) -> str:
    """The other half of a text, or of annotations; "" where it is not among the files."""
    wanted = OF_MARKS if _is(path, OF_TEXT) else OF_TEXT
    made = [path[: -len(wanted)] + one for one in (wanted, wanted.upper())]
    return next((one for one in made if one in files), "")


def _name(path: str, gate: Gate) -> str:
    """The sample's id."""
    return gate.name("document", path[: -len(OF_TEXT)]).replace("/", "_")


def _content(path: Path, most: int) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(max(most, ANN_BYTES) + 1)
    except OSError as error:
        raise DataError("the file cannot be read", code="unreadable") from error
    if len(data) > max(most, ANN_BYTES):
        raise DataError(f"it has more than {max(most, ANN_BYTES)} bytes", code="too-long")
    return data


def _alone(files: Mapping[str, File], annotated: bool) -> list[Refusal]:
    """What lacks its other half, and what of an archive is neither."""
    lost = []
    for path in files:
        if _is(path, OF_MARKS) and not _other(path, files):
            error = DataError("annotations without their text", code="no-text-file")
        elif annotated and _is(path, OF_TEXT) and not _other(path, files):
            error = DataError(
                "a text without annotations",
                code="no-annotation-file",
                hint="put an empty .ann beside it where nothing is to be marked; or "
                "`annotated: false`",
            )
        elif path.lower().endswith((OF_TEXT, OF_MARKS, ZIP)):
            continue
        else:
            error = OTHER
        lost.append(Refusal.of(path, error, path=path))
    return lost
