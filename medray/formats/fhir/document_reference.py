"""DocumentReference of FHIR R4: the text of a note, and what is marked in it, in and out."""

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from medray.errors import DataError, PassedOver
from medray.formats.base import FormatOptions, Found, Input, Source
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
from medray.formats.fhir.annotations import MEDIA_TYPE, marks_of, page_of
from medray.formats.fhir.coding import SYSTEMS, code_of
from medray.formats.fhir.copies import mark_again, require_first
from medray.formats.fhir.files import inputs_of, piece_of
from medray.formats.fhir.reading import resources, subject_of, without_collector
from medray.formats.files import open_path, replacing
from medray.formats.joined import Joined, Look, Piece, Share, in_one_file
from medray.formats.packed import grouped
from medray.formats.tabular.json_text import value_of
from medray.formats.tabular.text import BOM
from medray.storage.shards.holds import Holds, Needs, names
from medray.storage.shards.records import Refusal
from medray.storage.shards.samples import Sample

KIND = "DocumentReference"
GROUP = 64  # files in a unit
MAX_REFUSED = 1000  # of one input that are listed one by one
STATUS, TYPE, DATE = "status", "type", "date"
PLAIN_TEXT = "text/plain; charset=utf-8"
ENCODINGS = ("utf-8", "us-ascii", "iso-8859-1", "windows-1252")
_ID = re.compile(r"[A-Za-z0-9.-]{1,64}")  # FHIR's `id`
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
STATES = ("current", "superseded")
_URLS = {name: url for url, name in SYSTEMS.items()}


class DocumentReferenceOptions(DocumentOptions):
    """What is read beside the text."""

    annotated: bool = Field(
        False, description="spans and relations too, of an attachment with Web Annotations"
    )


class DocumentReference(Joined):
    """A document a resource: the first attachment of plain text that is in it."""

    name: ClassVar[str] = "document_reference"
    Options: ClassVar[type[FormatOptions]] = DocumentReferenceOptions
    options: DocumentReferenceOptions
    libraries: ClassVar[tuple[str, ...]] = ("orjson",)

    def holds(self) -> Holds:
        """Texts, what stands beside them, and spans."""
        marked = (SPANS, RELATIONS) if self.options.annotated else None
        split = "split" if self.options.splits else None
        return Holds(names(), names("subject", TEXT, marked, split, (STATUS, TYPE, DATE)))

    def ready(self) -> None:
        """The library, and the site's key.

        Raises:
            SpecError: it is missing or weak.
        """
        super().ready()
        Gate(self.options.phi)

    def ready_to_write(self) -> None:
        """Nothing: names are as they are stored."""

    def needs(self) -> Needs:
        """Text."""
        return Needs(columns=names(TEXT), hint="export documents, or what is found in them")

    def takes(self, names: frozenset[str]) -> frozenset[str]:
        """No array."""
        return frozenset()

    def plan(self, source: Source) -> Found:
        """As of `fhir`: bundles, and pieces of files of lines."""
        inputs, refused = inputs_of(source, Gate(self.options.phi))
        mark_again(source, inputs, self._taken)
        return Found(grouped(inputs, samples=GROUP), refused)

    def shown(self, item: Input) -> tuple[str, str]:
        """Its file, where the job says that paths name nobody."""
        return ("" if self.options.phi.method == "keyed" else item.paths[0]), ""

    def read(self, source: Source, item: Input) -> Iterator[Sample | Refusal]:
        """All documents of an input as rows; those that can't be used are refused by name, and how
        many resources of other kinds there are is told once."""
        gate, refused, others = Gate(self.options.phi), 0, 0
        again = dict(item.extra["again"])
        split = self.options.split_of(item.paths[0])
        made = list[Document]()
        with without_collector():
            found = list(resources(open_path(source, item.paths[0]), piece_of(item)))
            called = _called(resource for resource, _ in found)
            for number, (resource, patients) in enumerate(found, start=1):
                try:
                    if isinstance(resource, DataError):
                        raise resource
                    if not isinstance(resource, dict) or resource.get("resourceType") != KIND:
                        others += 1
                        continue
                    require_first(again, number)
                    made.append(self._document(resource, patients, split, gate, called))
                except DataError as error:
                    refused += not isinstance(error, PassedOver)
                    if refused > MAX_REFUSED:
                        raise DataError(
                            f"over {MAX_REFUSED} documents can't be used, the last one: "
                            f"{error.code}",
                            code="too-many-bad-documents",
                        ) from error
                    yield Refusal.of(item.key, error, sample=f"{KIND}, row {number}")
        if others:
            rest = PassedOver(f"{others} resources are no {KIND}", code="other-resources")
            yield Refusal.of(item.key, rest, sample="resources of other kinds")
        if made:
            yield rows_of(made, spans=self.options.annotated, relations=self.options.annotated)

    def _taken(self, resource: Any) -> str:
        """The id of a document that can be used."""
        if not isinstance(resource, dict) or resource.get("resourceType") != KIND:
            raise PassedOver("it is no document", code="other-resources")
        if resource.get("status") == "entered-in-error":
            raise PassedOver("the document was entered in error", code="withdrawn")
        name = resource.get("id")
        if not isinstance(name, str) or not name:
            raise DataError("the document has no id", code="no-id")
        text = _text(resource)
        if len(text) > self.options.max_characters:
            raise DataError(f"it has {len(text)} characters", code="too-long")
        if not text.strip():
            raise DataError("the document is empty", code="no-text")
        return name

    def _document(
        self,
        resource: Mapping[str, Any],
        patients: dict[str, str],
        split: str | None,
        gate: Gate,
        called: Mapping[str, Sequence[str]],
    ) -> Document:
        name, text, status = self._taken(resource), _text(resource), resource.get("status")
        marks: dict[str, Any] = {}
        if self.options.annotated:
            page = _attached(resource, MEDIA_TYPE)
            if page is not None:
                marks["spans"], marks["relations"] = marks_of(_json(_data(page)), text)
        # A code is none of a person's: digits in it are not to be taken for a telephone's.
        coded = {STATUS: str(status or ""), TYPE: _type(resource)}
        subject = subject_of(resource, patients) or name
        told = {DATE: _date(resource)}
        name = gate.name("document", name)
        document = Document(name, text, subject, split, columns=told, **marks)
        passed = gate.passed(document, called.get(subject, ()))
        return replace(passed, columns={**coded, **passed.columns})

    def shares(
        self, about: dict[str, Any], look: Look, source: Source | None
    ) -> tuple[list[Share], list[Refusal]]:
        """All documents in one file, named as the dataset is."""
        return in_one_file(f"{about['name']}.ndjson", look), []

    def join(
        self,
        file: str,
        item: Input | None,
        source: Source,
        pieces: Sequence[Piece],
        target: Path,
        about: dict[str, Any],
    ) -> Iterator[Path]:
        """A resource a line."""
        path, model = target / file, str(about.get("model", ""))
        with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as lines:
            for piece in pieces:
                for row in piece.rows().to_pylist():
                    lines.write(f"{json.dumps(_resource(row, model), ensure_ascii=False)}\n")
        yield path


def _called(resources: Iterable[Any]) -> dict[str, list[str]]:
    """What patients are called, by their ids: a bundle has them beside their notes."""
    called: dict[str, list[str]] = {}
    for one in resources:
        if not isinstance(one, dict) or one.get("resourceType") != "Patient":
            continue
        words = called.setdefault(str(one.get("id")), [])
        for name in _list(one.get("name")):
            if isinstance(name, dict):
                parts = (name.get("text"), name.get("family"), *_list(name.get("given")))
                words += [part for part in parts if isinstance(part, str)]
    return called


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _attached(resource: Mapping[str, Any], media_type: str) -> dict[str, Any] | None:
    """The first attachment of a media type."""
    try:
        for one in resource["content"]:
            kind = one["attachment"].get("contentType", "")
            if kind.partition(";")[0].strip().lower() == media_type:
                return dict(one["attachment"])
    except (KeyError, TypeError, AttributeError):
        raise DataError("the resource has not the form of FHIR R4", code="bad-resource") from None
    return None


def _text(resource: Mapping[str, Any]) -> str:
    attachment = _attached(resource, "text/plain")
    if attachment is None:
        raise DataError(
            "no attachment is plain text",
            code="not-plain-text",
            hint="convert HTML, RTF and PDF before",
        )
    _, _, told = attachment["contentType"].partition("charset=")
    encoding = told.partition(";")[0].strip().strip('"').lower() or "utf-8"
    if encoding not in ENCODINGS:
        raise DataError("its encoding is not known", code="unknown-encoding")
    try:
        return _data(attachment).removeprefix(BOM).decode(encoding)
    except UnicodeDecodeError as error:
        raise DataError(f"the text is no {encoding}", code="wrong-encoding") from error


def _data(attachment: Mapping[str, Any]) -> bytes:
    """What an attachment holds, held against its size and SHA-1 where it tells them.

    Raises:
        DataError: see the codes.
    """
    held, size, told = (attachment.get(name) for name in ("data", "size", "hash"))
    if held is None:
        raise DataError(
            "the text is not in the resource, but elsewhere",
            code="no-attachment-data",
            hint="put what `attachment.url` names into `attachment.data`",
        )
    try:
        data = base64.b64decode("".join(held.split()), validate=True)
    except (binascii.Error, ValueError, AttributeError, TypeError) as error:
        raise DataError("the attachment is no base64", code="bad-base64") from error
    if size is not None and size != len(data):
        raise DataError("the attachment has another size than it says", code="size-disagrees")
    if told is not None and told != _sha1(data):
        raise DataError("the attachment is not what its hash says", code="checksum")
    return data


def _sha1(data: bytes) -> str:
    """As FHIR R4 has it of attachments; it proves that nothing was damaged, and no more."""
    return base64.b64encode(hashlib.sha1(data, usedforsecurity=False).digest()).decode()


def _json(data: bytes) -> Any:
    try:
        return value_of(data)
    except (ValueError, RecursionError) as error:
        raise DataError("the annotations are no JSON", code="bad-json") from error


def _type(resource: Mapping[str, Any]) -> str:
    """Vocabulary, //, code, of vocabularies that are known; else empty."""
    code = code_of(resource.get("type"))
    return code if code.partition("//")[0] in _URLS else ""


def _date(resource: Mapping[str, Any]) -> str:
    """The day that the document is of; empty where it tells none."""
    context = resource.get("context")
    period = context.get("period") if isinstance(context, dict) else None
    start = period.get("start") if isinstance(period, dict) else None
    for told in (resource.get("date"), start):
        if isinstance(told, str) and _DAY.match(told):
            return told[:10]
    return ""


def _resource(row: Mapping[str, Any], model: str) -> dict[str, Any]:
    name = row["sample_id"]
    fits = _ID.fullmatch(name)
    made: dict[str, Any] = {
        "resourceType": KIND,
        "id": name if fits else hashlib.sha256(name.encode()).hexdigest()[:32],
        "status": row[STATUS] if row.get(STATUS) in STATES else STATES[0],
        "subject": {"reference": f"Patient/{row.get('subject') or name}"},
        "content": [_content(PLAIN_TEXT, str(row[TEXT]).encode(), "text")],
    }
    vocabulary, _, code = (row.get(TYPE) or "").partition("//")
    if code and vocabulary in _URLS:
        made["type"] = {"coding": [{"system": _URLS[vocabulary], "code": code}]}
    if _DAY.fullmatch(row.get(DATE) or ""):
        made["context"] = {"period": {"start": row[DATE]}}
    if row.get(SPANS) is not None:
        spans = spans_of(row)
        page = page_of(f"{KIND}/{made['id']}", spans, relations_of(row, len(spans)), model)
        data = json.dumps(page, ensure_ascii=False).encode()
        made["content"].append(_content(MEDIA_TYPE, data, "annotations"))
    return made


def _content(kind: str, data: bytes, title: str) -> dict[str, Any]:
    return {
        "attachment": {
            "contentType": kind,
            "data": base64.b64encode(data).decode(),
            "size": len(data),
            "hash": _sha1(data),
            "title": title,
        }
    }
