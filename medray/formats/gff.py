"""GTF and GFF3: annotation with attributes; ids of genes and transcripts without their versions."""

import re
from typing import ClassVar
from urllib.parse import unquote

from pydantic import Field

from medray.errors import DataError
from medray.formats.base import FormatOptions
from medray.formats.features import Feature, FeatureOptions, Features, number, whole

_GTF = re.compile(r'\s*([\w.:-]+)\s+(?:"([^"]*)"|([^\s;"]+))\s*(?:;|$)')
# Ensembl's, RefSeq's and LRG's ids end in a version, GENCODE's of a lifted assembly in two. Others'
# dots are part of the id: Y51H4A.12 and Y51H4A.3 of C. elegans are two genes.
_VERSION = re.compile(r"^(ENS[A-Z]*\d{11}|[NXY][MRPCTG]_\d+|LRG_\d+)\.\d+(?:_\d+)?(_PAR_Y)?$")


class GffOptions(FeatureOptions):
    """How to read GTF and GFF3."""

    features: tuple[str, ...] = Field(
        (), description="only these types, such as gene or exon; none given: all"
    )


class Gff(Features):
    """Annotation: `type`, `gene_id`, `gene_name` and what else the attributes name most often."""

    name: ClassVar[str] = "gff"
    Options: ClassVar[type[FormatOptions]] = GffOptions
    options: GffOptions
    suffixes: ClassVar[tuple[str, ...]] = (".gtf", ".gff", ".gff3")
    ending: ClassVar[bytes] = b"##FASTA"

    def parse(self, line: str, path: str) -> Feature | None:
        """See Features."""
        cells = line.split("\t")
        if len(cells) != 9:
            raise DataError(f"the line has {len(cells)} columns, not 9", code="not-nine-columns")
        contig, source, kind, first, last, score, strand, phase, text = cells
        if self.options.features and kind not in self.options.features:
            return None
        if whole(first) < 1:
            raise DataError("positions are counted from 1", code="bad-coordinate")
        if phase not in ("0", "1", "2", "."):
            raise DataError("the phase is none of 0 1 2 .", code="bad-phase")
        gtf = _GTF.match(text) is not None and "=" not in text.split('"', 1)[0]
        known = _gtf(text) if gtf else _gff3(text)
        more = {
            "type": kind,
            "source": source,
            "phase": None if phase == "." else int(phase),
            "gene_id": _bare(known.get("gene_id") or known.get("gene")),
            "gene_name": known.get("gene_name"),
            "gene_type": known.get("gene_type") or known.get("gene_biotype"),
            "transcript_id": _bare(known.get("transcript_id")),
            "id": known.get("ID"),
            "parent": known.get("Parent"),
            "product": known.get("product"),
        }
        name = known.get("gene_name") or known.get("Name") or known.get("ID")
        plain = "." if strand == "?" else strand  # GFF3's word for: relevant, but not known
        return Feature(contig, whole(first) - 1, whole(last), plain, name, number(score), more)


def _gtf(text: str) -> dict[str, str]:
    """`gene_id "ENSG…"; exon_number 1;`; of keys that come again (tag) the first counts."""
    made: dict[str, str] = {}
    at = 0
    while text[at:].strip():
        match = _GTF.match(text, at)
        if match is None:
            raise DataError("the attributes can't be read", code="bad-attributes")
        made.setdefault(match[1], match[2] if match[2] is not None else match[3])
        at = match.end()
    return made


def _gff3(text: str) -> dict[str, str]:
    """`ID=cds-1;Parent=rna-1`, with %-escapes."""
    made: dict[str, str] = {}
    for part in text.strip().split(";"):
        key, equals, value = part.partition("=")
        if not part.strip() or part.strip() == ".":
            continue
        if not equals:
            raise DataError("the attributes can't be read", code="bad-attributes")
        made.setdefault(unquote(key.strip()), unquote(value.strip()))
    return made


def _bare(name: str | None) -> str | None:
    return _VERSION.sub(r"\1\2", name) if name else name
