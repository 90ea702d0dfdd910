"""GTF and GFF3: annotation with attributes; ids of genes and transcripts without their versions."""

import re
from typing import ClassVar
from urllib.parse import unquote

from pydantic import Field

from medray.errors import DataError
from medray.formats.base import FormatOptions
from medray.formats.features import Feature, FeatureOptions, Features, number, whole

# A key, and a value with or without quotes, in which RefSeq escapes quotes by backslashes.
_GTF = re.compile(r'\s*([^\s;"=]+)\s+(?:"((?:[^"\\]|\\.)*)"|([^\s;"]+))\s*(?:;|$|(?=#))')
_END = re.compile(r"\s*(?:#|$)")
_FLAG = re.compile(r"[a-z][\w.:-]*")  # GFF3 keeps names that begin with a capital for itself
# Ensembl's, RefSeq's and LRG's ids end in a version, GENCODE's of a lifted assembly in two. Others'
# dots are part of the id: Y51H4A.12 and Y51H4A.3 of C. elegans are two genes.
_VERSION = re.compile(r"^(ENS[A-Z]*\d{11}|[NXY][MRPCTG]_\d+|LRG_\d+)\.\d+(?:_\d+)?(_PAR_Y)?$")

# Attributes of GFF3 that may have several values; in others a comma is a comma.
LISTS = frozenset({"Parent", "Alias", "Note", "Dbxref", "Ontology_term"})


class GffOptions(FeatureOptions):
    """How to read GTF and GFF3."""

    features: tuple[str, ...] = Field(
        (), description="only these types, such as gene or exon; none given: all"
    )
    attributes: tuple[str, ...] = Field(
        (), description="further attributes to take, as lists: columns `attribute_<name>`"
    )


class Gff(Features):
    """Annotation: `type`, `gene_id`, `gene_name` and what else the attributes name most often."""

    name: ClassVar[str] = "gff"
    Options: ClassVar[type[FormatOptions]] = GffOptions
    options: GffOptions
    suffixes: ClassVar[tuple[str, ...]] = (".gtf", ".gff", ".gff3")
    endings: ClassVar[tuple[bytes, ...]] = (b"##FASTA", b">")

    def parse(self, line: str, path: str) -> Feature | None:
        """See Features."""
        cells = line.split("\t")
        if len(cells) != 9:
            raise DataError(f"the line has {len(cells)} columns, not 9", code="not-nine-columns")
        text = cells[8]
        gtf = _GTF.match(text) is not None and "=" not in text.split('"', 1)[0]
        if not gtf and not (text.strip() in ("", ".") and ".gtf" in path.lower()):
            cells[:8] = map(_unescaped, cells[:8])
        contig, source, kind, first, last, score, strand, phase = cells[:8]
        if self.options.features and kind not in self.options.features:
            return None
        if whole(first) < 1:
            raise DataError("positions are counted from 1", code="bad-coordinate")
        if phase not in ("0", "1", "2", "."):
            raise DataError("the phase is none of 0 1 2 .", code="bad-phase")
        found = _gtf(text) if gtf else _gff3(text)
        known = {key: values[0] for key, values in found.items() if values[0]}
        more = {
            "type": kind,
            "source": source,
            "phase": None if phase == "." else int(phase),
            "gene_id": _bare(known.get("gene_id") or known.get("gene")),
            "gene_name": known.get("gene_name"),
            "gene_type": known.get("gene_type") or known.get("gene_biotype"),
            "transcript_id": _bare(known.get("transcript_id")),
            "id": known.get("ID"),
            "parent": found.get("Parent"),
            "product": known.get("product"),
            **{f"attribute_{name}": found.get(name) for name in self.options.attributes},
        }
        name = known.get("gene_name") or known.get("Name") or known.get("ID")
        plain = "." if strand == "?" else strand  # GFF3's word for: relevant, but not known
        return Feature(contig, whole(first) - 1, whole(last), plain, name, number(score), more)


def _gtf(text: str) -> dict[str, list[str]]:
    """`gene_id "ENSG…"; exon_number 1;`, a value for each time that a key comes (tag)."""
    made: dict[str, list[str]] = {}
    at = 0
    while not _END.match(text, at):
        match = _GTF.match(text, at)
        if match is None:
            raise DataError("the attributes can't be read", code="bad-attributes")
        value = match[3] if match[2] is None else re.sub(r"\\(.)", r"\1", match[2])
        made.setdefault(match[1], []).append(value)
        at = match.end()
    return made


def _gff3(text: str) -> dict[str, list[str]]:
    """`ID=cds-1;Parent=rna-1,rna-2`, cut at commas where GFF3 has lists, then unescaped."""
    made: dict[str, list[str]] = {}
    for part in text.strip().split(";"):
        key, equals, value = part.partition("=")
        key, value = _unescaped(key.strip()), value.strip()
        if not part.strip() or part.strip() == ".":
            continue
        if not equals and not _FLAG.fullmatch(key):
            raise DataError("the attributes can't be read", code="bad-attributes")
        values = value.split(",") if key in LISTS else [value]
        made.setdefault(key, []).extend(_unescaped(one) for one in values if one)
    return {key: values for key, values in made.items() if values}


def _unescaped(text: str) -> str:
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError as error:
        raise DataError("what is escaped is no UTF-8", code="not-utf8") from error


def _bare(name: str | None) -> str | None:
    return _VERSION.sub(r"\1\2", name) if name else name
