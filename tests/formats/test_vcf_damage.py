"""VCF that is not as it should be: the specification's own suite, and damaged files."""

import gzip
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medray.errors import DataError
from medray.formats.base import Source
from medray.formats.vcf import Vcf
from medray.storage.shards.records import Refusal
from medray.storage.shards.samples import Sample

HEAD = """##fileformat=VCFv4.2
##contig=<ID=1>
##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">
#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\ta\tb\tc
"""


def read(root: Path, **options: Any) -> tuple[list[Sample], list[Refusal]]:
    form = Vcf(Vcf.Options(table="calls", **options))
    out: list[Sample | Refusal] = []
    plan = form.plan(Source(root))
    out += plan.refused
    for item in (item for group in plan.groups for item in group):
        try:
            out += form.read(Source(root), item)
        except DataError as error:
            out.append(Refusal(item.key, error.code, error.message))
    samples = [one for one in out if isinstance(one, Sample)]
    return samples, [one for one in out if isinstance(one, Refusal)]


@pytest.mark.parametrize(("version", "least"), [("4.2", 20), ("4.3", 23), ("4.5", 0)])
def test_the_specifications_suite(version: str, least: int, data_dir: Path) -> None:
    root = data_dir / "genomics/vcf_spec" / version
    for path in sorted((root / "passed").glob("*.vcf")):
        assert not read(path)[1], path.name
    failed = sorted((root / "failed").glob("*.vcf"))
    refused = sum(bool(read(path)[1]) for path in failed)
    assert refused >= least  # htslib's own count
    assert refused >= {"4.2": 124, "4.3": 216, "4.5": 0}[version]


@pytest.mark.drill
@pytest.mark.timeout(900)
def test_five_thousand_damaged_files(data_dir: Path) -> None:
    odd = data_dir / "genomics/vcf_odd"
    names = ("bio2zarr/sample.vcf.gz", "bio2zarr/sample.bcf", "hail/missingInfoArray.vcf",
             "bio2zarr/field_type_combos.vcf.gz", "bio2zarr/mixed_ploidy.vcf.gz",
             "hail/haploid.vcf", "bio2zarr/multi_contig.vcf.gz")  # fmt: skip
    script = Path(__file__).parent / "vcf_damage.py"
    command = [sys.executable, script, *(odd / name for name in names), "5000"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=890)
    assert done.returncode == 0, done.stderr[-2000:]
    report = json.loads(done.stdout)
    assert report["read"] + report["part"] + report["refused"] == 10_000
    assert report["part"] > 500
    assert report["refused"] > 2000
    assert report["slowest_s"] < 5
    assert report["rss_bytes"] < 512 * 2**20


def test_a_stretch_that_unpacks_to_much_becomes_several_groups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import medray.formats.vcf as module
    from medray.formats.vcf.text import bgzf

    monkeypatch.setattr(module, "GROUP_BYTES", 200_000)
    monkeypatch.setattr(bgzf, "BLOCK_BYTES", 20_000)
    monkeypatch.setattr(bgzf, "READ_BYTES", 10_000)
    records = [f"1\t{n}\t.\tA\tC\t.\t.\t.\tGT\t0/1\t0/0\t1/1\n" for n in range(1, 5001)]
    (tmp_path / "a.vcf.gz").write_bytes(gzip.compress((HEAD + "".join(records)).encode()))
    samples, refused = read(tmp_path)
    assert not refused
    assert len(samples) > 3
    positions = np.concatenate([one.arrays["variant_position"] for one in samples])  # type: ignore[misc]
    assert positions.tolist() == list(range(1, 5001))
    assert len({one.id for one in samples}) == len(samples)
