"""A record far wider than others costs its own size, and nothing of it or of them is lost."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from medray.formats.base import Source
from medray.formats.vcf import Vcf
from medray.formats.vcf.store import calls
from medray.formats.vcf.store.vcz import Joined, Part, write_vcf
from medray.formats.vcf.text import values as reading
from medray.storage.shards.rows import Rows
from tests.formats.test_vcf_calls import read, same_records, view
from tests.parts import need

HEAD = """##fileformat=VCFv4.2
##contig=<ID=1>
##contig=<ID=2>
##INFO=<ID=AC,Number=A,Type=Integer,Description="one per ALT">
##INFO=<ID=F,Number=.,Type=Float,Description="some">
##INFO=<ID=ANN,Number=.,Type=String,Description="texts">
##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">
##FORMAT=<ID=AD,Number=R,Type=Integer,Description="depths">
##FORMAT=<ID=PL,Number=G,Type=Integer,Description="likelihoods">
##FORMAT=<ID=X,Number=.,Type=String,Description="texts">
#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\ta\tb\tc
"""
RECORDS = 400


def record(number: int) -> str:
    """A plain record; the 100th has 60 ALTs, the 200th long lists, the 300th 40 alleles a call."""
    alts = (
        ["A" + "C" * at for at in range(1, 61)] if number == 100 else ["C", "G"][: 1 + number % 2]
    )
    likelihoods = math.comb(len(alts) + 2, 2)
    calls = [f"0/{1 + number % len(alts)}", "./.", "0|0"]
    keys, some = "GT:AD:PL:X", "u,v"
    if number == 200:
        some = ",".join(f"t{at}" for at in range(3000))
    cells = [
        f"{call}:{','.join(map(str, range(len(alts) + 1)))}:"
        f"{','.join(str(at % 90) for at in range(likelihoods))}:{some if at == 1 else '.'}"
        for at, call in enumerate(calls)
    ]
    if number == 300:
        keys, cells = "GT", ["/".join(["0", "1"] * 20), "0/1", "0"]
    counts = ",".join(str(number + at) for at in range(len(alts)))
    floats = ",".join(f"{at}.5" for at in range(5000)) if number == 200 else "0.25,."
    info = f"AC={counts};F={floats}" + (";ANN=a|b,c" if number % 3 else "")
    fixed = [str(1 + number // 250), str(10 + number), f"r{number}", "A", ",".join(alts)]
    return "\t".join([*fixed, "1e-10", "PASS", info, keys, *cells])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "v").mkdir()
    text = HEAD + "".join(record(number) + "\n" for number in range(RECORDS))
    (tmp_path / "v/a.vcf").write_text(text)
    return tmp_path / "v/a.vcf"


@pytest.fixture
def tight(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (calls, reading):
        monkeypatch.setattr(module, "PADDING", 2**17)


def whole(parts: list[Part]) -> dict[str, np.ndarray]:
    joined = Joined(parts)
    return {name: np.concatenate(list(joined.slabs(name, 1000))) for name in joined.axes}


def parts_of(path: Path) -> list[Part]:
    samples, refused = read(path)
    assert not refused
    made = []
    for one in samples:
        assert one.layout is not None
        made.append(Part(one.layout, {n: a for n, a in one.arrays.items() if hasattr(a, "dtype")}))
    return made


def equal(mine: dict[str, np.ndarray], theirs: dict[str, np.ndarray]) -> None:
    assert mine.keys() == theirs.keys()
    for name, values in mine.items():
        if values.dtype.kind == "T":
            assert values.tolist() == theirs[name].tolist(), name
        else:
            floats = values.dtype.kind == "f"
            assert np.array_equal(values, theirs[name], equal_nan=floats), name


def test_groups_are_cut_around_wide_records(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (calls, reading):
        monkeypatch.setattr(module, "PADDING", 2**40)
    (one,) = parts_of(path)
    before = sum(values.nbytes for values in one.arrays.values())
    for module in (calls, reading):
        monkeypatch.setattr(module, "PADDING", 2**17)
    many = parts_of(path)
    assert 1 < len(many) < 20
    assert sum(part.variants for part in many) == RECORDS
    after = [sum(values.nbytes for values in part.arrays.values()) for part in many]
    assert sum(after) < before / 4
    equal(whole(many), whole([one]))


@pytest.mark.usefixtures("tight")
def test_wide_records_are_those_of_bio2zarr(path: Path, tmp_path: Path) -> None:
    import zarr
    from bio2zarr import vcf as bio2zarr
    from pysam import tabix_compress, tabix_index

    # bio2zarr gives every call the likelihoods of 40 alleles out of 61: 1.6e28 bytes.
    path.write_text(path.read_text().replace("/".join(["0", "1"] * 20), "0/1"))
    tabix_compress(str(path), str(tmp_path / "a.vcf.gz"))
    tabix_index(str(tmp_path / "a.vcf.gz"), preset="vcf")
    bio2zarr.convert([tmp_path / "a.vcf.gz"], tmp_path / "b", worker_processes=0)
    theirs = zarr.open_group(tmp_path / "b", mode="r")
    mine = whole(parts_of(path))
    for name, values in mine.items():
        wanted: Any = np.asarray(theirs[name][...])  # type: ignore[index]
        if values.dtype.kind == "T":
            assert values.tolist() == wanted.tolist(), name
        else:
            assert np.array_equal(values, wanted, equal_nan=values.dtype.kind == "f"), name


@pytest.mark.usefixtures("tight")
def test_wide_records_are_written_as_they_were(path: Path, tmp_path: Path) -> None:
    need("bcftools")
    write_vcf(parts_of(path), tmp_path / "b.vcf.gz")
    same_records(view(tmp_path / "b.vcf.gz"), view(path))


def test_wide_lists_of_sites_are_the_same(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def table() -> pa.Table:
        form = Vcf(Vcf.Options(fields="all"))
        ((item,),) = form.plan(Source(path.parent)).groups
        rows = [one for one in form.read(Source(path.parent), item) if isinstance(one, Rows)]
        return pa.concat_tables([one.table for one in rows])

    once = table()
    monkeypatch.setattr(reading, "PADDING", 2**12)
    assert table().equals(once)
    at = once["pos"].to_pylist().index(210)
    assert once["info_F"][at].as_py() == [number + 0.5 for number in range(5000)]
    at = once["pos"].to_pylist().index(110)
    assert once["info_AC"].to_pylist()[at : at + 60] == list(range(100, 160))


@pytest.mark.parametrize("seed", range(5))
def test_lists_are_padded_alike_in_sets(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(seed)
    widths = rng.choice([1, 2, 3, 50, 5151], 500, p=[0.3, 0.3, 0.3, 0.08, 0.02])
    monkeypatch.setattr(reading, "PADDING", 0)
    sets = [one for one in reading.alike(widths, 4) if one is not None]
    assert sorted(np.concatenate(sets).tolist()) == list(range(500))
    padded = sum(int(widths[one].max()) * len(one) for one in sets)
    assert padded <= 2 * widths.sum()
