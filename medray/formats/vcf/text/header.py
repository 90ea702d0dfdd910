"""The header of a VCF file: what it defines, and whether it keeps to the specification.

A header that can't be trusted refuses the file: every record is read by it. Messages name the line
and the rule; never a value, since headers hold the names of samples and paths of pipelines.
"""

import re
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import NoReturn

from medray.errors import DataError
from medray.formats.tabular.text import BOM, require_lines
from medray.formats.vcf.text.bgzf import Kind, head_of
from medray.formats.vcf.text.fields import RESERVED, TYPES, Category, Field

MAX_HEADER = 64 * 2**20  # bytes; 500,000 samples of 20 letters take 10 MB
FIXED = ("#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO")
DEFINED = ("INFO", "FORMAT", "FILTER", "contig")
STRUCTURED = (*DEFINED, "ALT", "META", "SAMPLE", "PEDIGREE")
ENDED = ((4, 3), (4, 4))  # versions whose last line must end in a newline
_LAST = re.compile(rb"(?:\A|\n)(#CHROM|[^#\n]|\n)")  # of the header, or what is no more of it
_VERSION = re.compile(r"VCFv(\d)\.(\d+)")
_META = re.compile(r"##([^=\s<>]+)=(.+)", re.DOTALL)
# Most lines of many headers: looked at by one expression, which takes a tenth of the time.
_CONTIG = re.compile(
    r'##contig=<ID=([^\s,<>]+)(?:,length=(\d+))?(?:,assembly="?[\w.-]+"?)?(?:,(?:md5|M5)="?\w+"?)?>'
)
_NUMBER = re.compile(r"\d+|[AaRrGg.]|LA|LR|LG|P|M")
# The key of a structured line's field, then a quoted or a bare value.
_PAIR = re.compile(r'([\w.-]+)=("(?:[^"\\]|\\.)*"|\[[^\]]*\]|(?:[^,"\[][^,]*)?)(,|$)')
_BARE_ID = re.compile(r"[^\s,<>]+")
_URL = re.compile(r"[a-z]+://[^\s<>:/]*[^\s<>:/0-9][^\s<>:/]*(:\d+)?(/\S*)?|(?!\w+://)\S+")


@dataclass(frozen=True)
class Header:
    """What a header says.

    Args:
        version: e.g. (4, 2).
        contigs: id → length, or None where the header has none; in the header's order.
        filters: id → description; PASS first, whether it is defined or not.
        info: INFO definitions by id.
        format: FORMAT definitions by id.
        samples: ids, personal data: never in messages, logs or rows.
        other: further lines as (key, value).
        lines: how many lines it has.
        bytes: of its text.
        formatted: whether it names the column FORMAT.
        passed: what breaks the specification, and was allowed: code, and rule with its line.
    """

    version: tuple[int, int]
    contigs: dict[str, int | None] = field(default_factory=dict)
    filters: dict[str, str] = field(default_factory=lambda: {"PASS": "All filters passed"})
    info: dict[str, Field] = field(default_factory=dict)
    format: dict[str, Field] = field(default_factory=dict)
    samples: tuple[str, ...] = ()
    other: tuple[tuple[str, str], ...] = ()
    lines: int = 0
    bytes: int = 0
    formatted: bool = False
    passed: tuple[tuple[str, str], ...] = ()

    @property
    def columns(self) -> int:
        """Columns that every record must have."""
        return 9 + len(self.samples) if self.formatted else 8


def read_header(path: Path, kind: Kind, allow: frozenset[str]) -> Header:
    """The header of a VCF file; nothing behind it is looked at.

    Args:
        path: the file.
        kind: what it is.
        allow: codes that are passed over.

    Raises:
        DataError: see `parse_header`; or it is damaged (see `head_of`), or ends its lines in CR
            alone ("cr-line-ends").
    """
    text = bytearray()
    begin = 0  # of the first line that is not looked at
    for piece in head_of(path, kind):
        text += piece
        if begin == 0:
            text = text.removeprefix(BOM)
            require_lines(text)
        last = _LAST.search(text, max(0, begin - 1))
        if last is not None:
            end = text.find(b"\n", last.start(1)) + 1
            if last[1][:1] != b"#":
                return parse_header(bytes(text[: last.start(1)]), allow)
            if end:
                return parse_header(bytes(text[:end]), allow)
        begin = text.rfind(b"\n") + 1
        if len(text) > MAX_HEADER:
            raise DataError("the header has no end", code="header-too-long")
    return parse_header(bytes(text), allow)


@lru_cache(maxsize=4)
def parse_header(text: bytes, allow: frozenset[str] = frozenset()) -> Header:
    """What a header says, once it keeps to the specification.

    It is read once for all stretches of a file, and of files that have it in common: a thousand
    stretches under 3,301 contigs took 25 s of reading headers.

    Raises:
        DataError: it does not (codes "not-vcf", "bad-header", "no-column-header",
            "duplicate-sample", "reserved-definition", "no-final-newline"); the message has the
            line's number.
    """
    rules = _Rules(allow)
    try:
        decoded = text.decode("utf-8")
    except UnicodeDecodeError:
        rules.broken(0, "not UTF-8")
        decoded = text.decode("utf-8", "replace")
    lines = decoded.split("\n")
    ended = lines[-1] == ""
    lines = [line.removesuffix("\r") for line in (lines[:-1] if ended else lines)]
    version = _version(lines or [""], rules)
    if not lines[-1].startswith("#CHROM"):
        raise DataError(
            f"line {len(lines) + 1}: no line of column names before it", code="no-column-header"
        )
    if not ended and version in ENDED and "no-final-newline" not in allow:
        raise DataError("the file ends within its header", code="no-final-newline")
    formatted, samples = _columns(lines[-1], len(lines), rules)
    header = Header(version, samples=samples, formatted=formatted)
    other: list[tuple[str, str]] = []
    for number, line in enumerate(lines[1:-1], start=2):
        try:
            _meta(header, other, line, number, rules)
        except _Dropped:
            continue
    return replace(
        header,
        other=tuple(other),
        lines=len(lines),
        bytes=len(text),
        passed=tuple(rules.passed),
    )


class _Dropped(Exception):
    """A line that says nothing which could be kept; its fields are read as undefined ones."""


class _Rules:
    """What becomes of a broken rule: the header is refused, or it is noted where that is allowed.

    Args:
        allow: codes that are passed over.
    """

    def __init__(self, allow: frozenset[str]) -> None:
        self.allow = allow
        self.passed: list[tuple[str, str]] = []

    def broken(self, number: int, rule: str, code: str = "bad-header") -> None:
        """Note it, or raise.

        Raises:
            DataError: its code is not allowed.
        """
        said = f"header, line {number}: {rule}" if number else f"header: {rule}"
        if code not in self.allow:
            hint = f"`allow: [unsorted, {code}]` reads the file as bcftools does"
            raise DataError(said, code=code, hint=hint)
        self.passed.append((code, said))

    def dropped(self, number: int, rule: str) -> NoReturn:
        """Note a line that can't be kept, or raise.

        Raises:
            DataError: its code is not allowed.
        """
        self.broken(number, rule)
        raise _Dropped


def _version(lines: list[str], rules: _Rules) -> tuple[int, int]:
    key, _, value = lines[0].partition("=")
    if key.lstrip("\ufeff") != "##fileformat":
        raise DataError("line 1 is not ##fileformat: no VCF file", code="not-vcf")
    found = _VERSION.fullmatch(value)
    if found is None:
        rules.broken(1, "the version is not VCFv<number>.<number>")
        found = re.search(r"(\d)\.(\d+)", value)
    return (int(found[1]), int(found[2])) if found else (4, 2)


def _columns(line: str, number: int, rules: _Rules) -> tuple[bool, tuple[str, ...]]:
    """Whether there is the column FORMAT, and the samples."""
    columns = line.split("\t")
    if tuple(columns[:8]) != FIXED:
        raise _bad(number, "the column names are not those of the specification")
    if len(columns) == 8:
        return False, ()
    if columns[8] != "FORMAT":
        raise _bad(number, "FORMAT and the samples belong together")
    if len(columns) == 9:
        rules.broken(number, "FORMAT and the samples belong together")
    samples = columns[9:]
    if any(not name or name != name.strip() for name in samples):
        raise _bad(number, "a sample has no name")
    if len(set(samples)) < len(samples):
        again = len(samples) - len(set(samples))
        raise _bad(number, f"{again} sample names stand there twice", "duplicate-sample")
    return True, tuple(samples)


def _bad(number: int, rule: str, code: str = "bad-header") -> DataError:
    return DataError(f"header, line {number}: {rule}", code=code)


def _meta(
    header: Header, other: list[tuple[str, str]], line: str, number: int, rules: _Rules
) -> None:
    contig = _CONTIG.fullmatch(line)
    if contig is not None:
        _contig(header, contig[1], contig[2] or "", number, rules)
        return
    found = _META.fullmatch(line)
    if found is None:
        key, equals, value = line.removeprefix("##").partition("=")
        if not line.startswith("##") or not equals or not key.strip() or key in STRUCTURED:
            rules.dropped(number, "not of the form ##key=value")
        rules.broken(number, "not of the form ##key=value")
    else:
        key, value = found[1], found[2]
    if key in ("assembly", "pedigreeDB"):
        if not _URL.fullmatch(value.removeprefix("<").removesuffix(">")):
            rules.broken(number, "not a URL")
    elif key in STRUCTURED:
        pairs = _pairs(value, number, rules)
        identity = pairs.get("ID", "")
        # PEDIGREE and SAMPLE lines of 4.1 and 4.2 need no ID.
        if not _BARE_ID.fullmatch(identity) and (key != "PEDIGREE" or header.version >= (4, 3)):
            rules.broken(number, "the ID is missing, or has blanks, commas or brackets")
            if not identity and key in DEFINED:
                raise _Dropped
        if next(iter(pairs)) != "ID" and header.version >= (4, 3):
            rules.broken(number, "ID must be the first of the line's keys")
        _define(header, key, identity, pairs, number, rules)
    if key not in DEFINED:
        other.append((key, value))


def _pairs(value: str, number: int, rules: _Rules) -> dict[str, str]:
    if not (value.startswith("<") and value.endswith(">")):
        rules.dropped(number, "not enclosed by < and >")
    inside, at, pairs = value[1:-1], 0, dict[str, str]()
    while at < len(inside):
        found = _PAIR.match(inside, at)
        if found is None or found[1] in pairs:
            rules.dropped(number, "not a list of key=value, each key once")
        pairs[found[1]] = found[2]
        at = found.end()
    if not pairs or inside.endswith(","):
        rules.broken(number, "not a list of key=value")
        if not pairs:
            raise _Dropped
    return pairs


def _define(
    header: Header, key: str, identity: str, pairs: dict[str, str], number: int, rules: _Rules
) -> None:
    quoted = pairs.get("Description", "")
    described = len(quoted) >= 2 and quoted[0] == quoted[-1] == '"'
    if key in ("INFO", "FORMAT", "FILTER", "ALT") and not described:
        rules.broken(number, "the Description is missing or not quoted")
        quoted = f'"{quoted}"'
    if key in ("INFO", "FORMAT"):
        category: Category = "INFO" if key == "INFO" else "FORMAT"
        definition = Field(
            category, identity, pairs.get("Number", ""), pairs.get("Type", ""), quoted[1:-1]
        )
        known = header.info if category == "INFO" else header.format
        made = _checked(header, definition, number, rules)
        first = known.setdefault(identity, made)
        if (first.number, first.type) != (made.number, made.type):
            rules.broken(number, "an earlier line defines the field otherwise")
    elif key == "FILTER":
        if identity == "0":
            rules.broken(number, "a filter must not be called 0")
        header.filters[identity] = quoted[1:-1]
    elif key == "contig":
        _contig(header, identity, pairs.get("length", ""), number, rules)
    elif key in ("ALT", "META"):
        values = pairs.get("Values", "[]")
        if pairs.get("Type", "String") not in TYPES or not values.startswith("["):
            rules.broken(number, "the Type or the Values are not the specification's")
        if not _NUMBER.fullmatch(pairs.get("Number", "1")):
            rules.broken(number, "the Number is none of the specification's")
    elif key == "PEDIGREE":
        if any(not re.fullmatch(r"[\w.-]+", each) for each in pairs.values()):
            rules.broken(number, "a value has blanks or punctuation")
    elif key == "SAMPLE" and not re.fullmatch(r"[^*?]+", identity):
        rules.broken(number, "the ID has characters that are none of an ID")


def _contig(header: Header, identity: str, length: str, number: int, rules: _Rules) -> None:
    """Note a contig; of two lines of one name the first stands, as htslib has it."""
    told = int(length) if length.isdecimal() else None
    known = header.contigs.get(identity)
    if known is not None and told is not None and known != told:
        rules.broken(number, "an earlier line gives the contig another length")
    header.contigs[identity] = told if known is None else known


def _checked(header: Header, definition: Field, number: int, rules: _Rules) -> Field:
    """The definition; where it breaks a rule that is allowed to, as htslib takes it."""
    if not _NUMBER.fullmatch(definition.number):
        rules.broken(number, "the Number is none of the specification's")
        definition = replace(definition, number=".")
    if definition.type not in TYPES:
        rules.broken(number, "the Type is none of the specification's")
        definition = replace(definition, type="String")
    if definition.category == "FORMAT" and definition.type == "Flag":
        rules.broken(number, "a FORMAT field can't be a Flag")
        definition = replace(definition, number="1", type="String")
    known = RESERVED[definition.category].get(definition.name)
    if known is None or header.version < (4, 3):
        return definition
    if definition.number != known[0] or known[1] not in ("", definition.type):
        rules.broken(number, "a reserved field is defined otherwise", "reserved-definition")
    return definition
