"""A small genome, a VCF with every kind of allele on it, and a model to score it with."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save

from medray.formats.genomics.alphabet import decode
from medray.ids import short
from medray.modalities.base import Trained
from medray.modalities.loaded import load_trained
from medray.modalities.sequence import Sequences
from medray.modalities.sequence.plan import SequencePlan
from medray.storage.catalog.models import save_model
from medray.storage.store.objects import Objects

LENGTH = 40
HEADER = """##fileformat=VCFv4.2
##FILTER=<ID=PASS,Description="All filters passed">
##INFO=<ID=AC,Number=A,Type=Integer,Description="Alleles">
##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">
##ALT=<ID=DEL,Description="Deletion">
##contig=<ID=1,length=3000>
##contig=<ID=2,length=900>
#CHROM	POS	ID	REF	ALT	QUAL	FILTER	INFO	FORMAT	one	two
"""


def contigs() -> dict[str, str]:
    """Letters by name; an unknown stretch in the first."""
    rng = np.random.default_rng(5)
    made = {n: decode(rng.integers(0, 4, size).astype(np.uint8)) for n, size in SIZES.items()}
    return {**made, "chr1": made["chr1"][:600] + "N" * 99 + made["chr1"][699:]}


SIZES = {"chr1": 3000, "chr2": 900}


def write_genome(folder: Path) -> Path:
    """A FASTA file."""
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / "genome.fa").exists():
        return folder  # written again, its time would make it another input
    text = "".join(f">{name}\n{letters}\n" for name, letters in contigs().items())
    (folder / "genome.fa").write_text(text)
    return folder


def records(count: int = 60) -> list[str]:
    """Lines of a VCF in order: SNVs, indels, several ALTs, symbolic, at the edge, wrong REFs."""
    rng = np.random.default_rng(9)
    lines = []
    for contig, letters in contigs().items():
        chosen = rng.choice(np.arange(2, len(letters) - 8), count, replace=False)
        for number, position in enumerate(np.sort(chosen).tolist()):
            ref = letters[position - 1 : position + (3 if number % 5 == 1 else 0)]
            others = [base for base in "ACGT" if base != ref[0]]
            alt = {
                1: ref[0],
                2: ref[0] + "ACGT"[: 1 + number % 4],
                3: ",".join(others[:2]),
                4: f"{others[0]},{ref[0]}TT,*",
            }.get(number % 5, others[0])
            if number % 17 == 8:
                alt = "<DEL>"
            if number % 13 == 7:
                ref = others[1]
            if number % 29 == 11:
                alt = "."
            info = "." if number % 4 == 0 else f"AC={number};X"
            line = [contig.removeprefix("chr"), str(position), f"rs{number}", ref, alt]
            lines.append("\t".join([*line, "50", "PASS", info, "GT", "0/1", "./."]))
    return lines


def alleles(lines: list[str]) -> int:
    """How many rows the sites of these records have."""
    return sum(line.split("\t")[4].count(",") + 1 for line in lines)


def write_vcf(path: Path, lines: list[str]) -> Path:
    """A VCF file, plain or, by its suffix, bgzipped."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = HEADER + "".join(f"{line}\n" for line in lines)
    if path.suffix == ".gz":
        import pysam

        with pysam.BGZFile(str(path), "w") as file:
            file.write(text.encode())
    else:
        path.write_text(text)
    return path


def save_network(objects: Objects, name: str = "net", **options: Any) -> Trained:
    """A package of a small network of sequences, with weights that nothing has trained."""
    model = {"name": "seq_cnn", "filters": 8, "dense": 8, "kernels": [5], **options}
    task = {"name": "classification", "classes": ["no", "yes"]}
    plan = SequencePlan(
        classes=("no", "yes"),
        batch_size=8,
        frequencies=(0.5, 0.5),
        samples=8,
        length=LENGTH,
        answers="sample",
    )
    torch.manual_seed(3)
    network = Sequences().build(model, plan)
    package = save_model(
        objects,
        name,
        weights=save(dict(network.state_dict())),
        config={"model": model, "task": task, "plan": plan.model_dump(mode="json")},
        metrics={},
        parents=[],
        spec=short(name),
        card="",
    )
    return load_trained(objects, package.reference)


def ingest_steps(folder: Path, source: Path) -> list[dict[str, Any]]:
    """Steps that make `genome` and `sites`."""
    return [
        {
            "kind": "ingest",
            "format": {"name": "fasta"},
            "source": str(write_genome(folder / "genome")),
            "output": "genome",
        },
        {
            "kind": "ingest",
            "format": {"name": "vcf", "partition": 2**16},
            "source": str(source),
            "output": "sites",
        },
    ]


def score_step(**effect: Any) -> dict[str, Any]:
    """A step that makes `scores`."""
    return {
        "kind": "variants",
        "model": "net",
        "data": "sites",
        "genome": "genome",
        "statistics": ["diff", "l2"],
        "batch": 16,
        "unit": 50,
        **effect,
        "output": "scores",
    }
