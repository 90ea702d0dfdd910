"""Lines that end in CR alone are called so: all of a text would be one line, and be lost."""

import gzip
from pathlib import Path
from typing import Any

import pytest

from medray.formats import FORMATS
from medray.formats.base import Source
from medray.formats.documents.notes import Notes
from tests.contract.test_ids import accounted

PLAIN: dict[str, Any] = {"method": "none"}
VCF = (
    "##fileformat=VCFv4.2\n##contig=<ID=1>\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
    "1\t1\t.\tA\tC\t.\t.\t.\n"
)
PAIRS = {"smiles": "s", "sequence": "q", "value": "y", "scale": "p"}
PERSON = '{"resourceType": "Patient", "id": "%d", "birthDate": "1950"}'
TEXTS: list[tuple[str, str, str, dict[str, Any]]] = [
    ("bed", "a.bed", "1\t0\t10\n1\t20\t30\n", {}),
    ("gff", "a.gff3", "##gff-version 3\n1\tx\tgene\t1\t10\t.\t+\t.\tID=a\n", {}),
    ("vcf", "a.vcf", VCF, {"table": "sites"}),
    ("fasta", "a.fa", ">a\nACGT\n>b\nAC\n", {}),
    ("sequences", "a.csv", "sequence\nACGT\n", {"sequence": ["sequence"]}),
    ("smiles", "a.smi", "CCO\nCCC\n", {}),
    ("pairs", "a.csv", "s,q,y\nC,MK,1\n", PAIRS),
    ("conll", "a.tsv", "left\tO\n\nright\tO\n", {"phi": PLAIN}),
    ("notes", "a.ndjson", '{"text": "a"}\n{"text": "b"}\n', {"phi": PLAIN}),
    ("expression", "a.csv", "cell,g\nc,1\n", {}),
    ("table", "a.csv", "x,y\n1,0\n", {}),
    ("table", "a.arff", "@relation r\n@attribute x numeric\n@data\n1\n", {}),
    ("signal-table", "a.csv", "E\n1\n2\n", {"rate": 1, "unit": "uV", "deidentify": PLAIN}),
    ("bigwig", "a.wig", "fixedStep chrom=1 start=1 step=1\n1\n", {"lengths": {"1": 10}}),
    ("fhir", "a.ndjson", f"{PERSON % 1}\n{PERSON % 2}\n", {"deidentify": PLAIN}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "file", "text", "options", "packed"),
    [
        (*one, packed)
        for one in TEXTS
        for packed in (False, True)
        if not packed or not one[1].endswith((".arff", ".wig"))  # which come unpacked
    ],
)
def test_they_are_called_so(
    tmp_path: Path, name: str, file: str, text: str, options: dict[str, Any], packed: bool
) -> None:
    kind = FORMATS.get(name)
    form = kind(kind.Options.model_validate(options))
    for ends, codes in (("\n", set[str]()), ("\r\n", set[str]()), ("\r", {"cr-line-ends"})):
        raw = text.replace("\n", ends).encode()
        path = tmp_path / (f"{file}.gz" if packed else file)
        path.write_bytes(gzip.compress(raw, mtime=0) if packed else raw)
        ids, refused = accounted(form, Source(tmp_path))
        assert {one.code for one in refused} == codes
        assert bool(ids) != bool(codes)


def test_a_note_may_have_any(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"one\rtwo\r")
    (tmp_path / "b.csv").write_bytes(b"text\rthree\r")
    ids, refused = accounted(Notes(Notes.Options.model_validate({"phi": PLAIN})), Source(tmp_path))
    assert (ids, refused) == (["a", "b-0000001"], [])
