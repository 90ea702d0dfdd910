"""bigWig and wiggle: bins are the means of their bases, whatever the file's own resolution."""

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pybigtools
import pytest

from medray.errors import DataError, SpecError
from medray.formats import bigwig as module
from medray.formats.base import Found, Source
from medray.formats.bigwig import Bigwig, reader
from medray.storage.shards.samples import Sample, Slabs

LENGTHS = {"chr1": 5003, "chr2": 100}


def planned(root: Path, **options: Any) -> tuple[Bigwig, Found]:
    form = Bigwig(Bigwig.Options.model_validate(options))
    return form, form.plan(Source(root))


def read(root: Path, **options: Any) -> dict[str, Sample]:
    form, plan = planned(root, **options)
    found = [
        one for group in plan.groups for item in group for one in form.read(Source(root), item)
    ]
    return {one.id: one for one in found if isinstance(one, Sample)}


def values(sample: Sample) -> np.ndarray:
    array = sample.arrays["track"]
    return np.concatenate(list(array.parts), axis=1) if isinstance(array, Slabs) else array


def write(path: Path, lengths: dict[str, int], seed: int) -> dict[str, np.ndarray]:
    """A bigWig of random runs with gaps; returns its value at each base, float32 (bases,)."""
    rng = np.random.default_rng(seed)
    bases = {name: np.full(length, np.nan, np.float32) for name, length in lengths.items()}
    runs = []
    for name, length in lengths.items():
        at = int(rng.integers(0, 5))
        while at < length - 40:
            size, value = int(rng.integers(1, 40)), float(np.float32(rng.normal()))
            runs.append((name, at, at + size, value))
            bases[name][at : at + size] = value
            at += size + int(rng.choice([0, 0, 7, 300]))
    file = pybigtools.open(str(path), "w")
    file.write(lengths, runs)
    return bases


def means(bases: np.ndarray, width: int, *, zero: bool) -> np.ndarray:
    """numpy's answer, bin by bin."""
    parts = [bases[at : at + width] for at in range(0, len(bases), width)]
    if zero:
        return np.array([np.nan_to_num(part).mean(dtype=float) for part in parts])
    return np.array([np.nanmean(p, dtype=float) if np.isfinite(p).any() else np.nan for p in parts])


@pytest.mark.parametrize("missing", ["nan", "zero"])
@pytest.mark.parametrize("width", [1, 7, 128, 10_000])
@pytest.mark.parametrize("slab", [3, 2**18])
def test_bins_are_the_means_of_their_bases(
    missing: str, width: int, slab: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SLAB_BINS", slab)
    monkeypatch.setattr(reader, "SLAB_BINS", 5 if slab == 3 else slab)
    truth = [write(tmp_path / f"{name}.bw", LENGTHS, seed) for seed, name in enumerate("ab")]
    found = read(tmp_path, bin_bases=width, missing=missing, dtype="float32")
    assert list(found) == ["chr1", "chr2"]
    for name, sample in found.items():
        expected = [means(one[name], width, zero=missing == "zero") for one in truth]
        made = values(sample)
        assert made.dtype == np.float32
        assert np.allclose(made, expected, rtol=1e-6, atol=1e-7, equal_nan=True)
        assert isinstance(sample.arrays["track"], Slabs) == (made.shape[1] > slab)
        assert sample.row == {
            "contig": name,
            "length": LENGTHS[name],
            "bin_bases": width,
            "names": ["a", "b"],
            "missing": missing,
        }


def test_float16_is_the_nearest_and_what_is_beyond_is_refused(tmp_path: Path) -> None:
    truth = write(tmp_path / "a.bw", LENGTHS, 0)
    (made,) = (values(one) for one in read(tmp_path, contigs=["chr1"]).values())
    expected = means(truth["chr1"], 128, zero=False).astype(np.float32).astype(np.float16)
    assert np.array_equal(made[0], expected, equal_nan=True)
    file = pybigtools.open(str(tmp_path / "a.bw"), "w")
    file.write({"chr1": 1000}, [("chr1", 0, 200, 70_000.0)])
    with pytest.raises(DataError, match="value-out-of-range"):
        read(tmp_path)
    assert float(values(read(tmp_path, dtype="float32")["chr1"])[0, 0]) == 70_000


def test_files_that_differ_in_their_contigs(tmp_path: Path) -> None:
    write(tmp_path / "a.bw", {"chr1": 1000, "chrY": 500}, 0)
    write(tmp_path / "b.bw", {"chr1": 1000, "chr2": 300}, 1)
    found = read(tmp_path)
    assert set(found) == {"chr1", "chr2", "chrY"}
    assert np.isnan(values(found["chrY"])[1]).all()
    assert not np.isnan(values(found["chrY"])[0]).all()
    write(tmp_path / "b.bw", {"chr1": 1001}, 1)
    _, plan = planned(tmp_path)
    assert [(one.source, one.code) for one in plan.refused] == [("chr1", "length-mismatch")]


def test_tracks_are_named_and_ordered(tmp_path: Path) -> None:
    truth = [write(tmp_path / f"{name}.bw", LENGTHS, seed) for seed, name in enumerate("ab")]
    found = read(tmp_path, tracks={"second": "b.bw", "first": "a.bw"}, bin_bases=100)
    assert found["chr2"].row["names"] == ["second", "first"]
    assert values(found["chr2"])[1, 0] == pytest.approx(
        means(truth[0]["chr2"], 100, zero=False)[0], rel=1e-3
    )
    with pytest.raises(SpecError, match="no-such-file"):
        planned(tmp_path, tracks={"x": "none.bw"})
    (tmp_path / "a.bigwig").write_bytes((tmp_path / "a.bw").read_bytes())
    with pytest.raises(SpecError, match="duplicate-track"):
        planned(tmp_path)


def test_sizes_and_places_are_looked_at_before_they_are_used(tmp_path: Path) -> None:
    write(tmp_path / "a.bw", LENGTHS, 0)
    whole = (tmp_path / "a.bw").read_bytes()
    names, _, index = struct.unpack_from("<3Q", whole, 8)

    def code(at: int, layout: str, value: int) -> str:
        bad = bytearray(whole)
        struct.pack_into(layout, bad, at, value)
        (tmp_path / "a.bw").write_bytes(bad)
        (refused,) = planned(tmp_path)[1].refused
        return refused.code

    assert code(0, "<I", 0x8789F2EB) == "not-bigwig"  # a bigBed
    assert code(52, "<I", 2**31) == "compression-bomb"
    assert code(names + 8, "<I", 2**31) == "damaged-bigwig"  # bytes of a name
    assert code(names + 16, "<Q", 2**60) == "damaged-bigwig"  # contigs
    assert code(index + 48 + 4 + 24, "<Q", 2**60) == "damaged-bigwig"  # bytes of a block
    assert code(index + 48, "<B", 0) == "damaged-bigwig"  # a leaf that says it has children


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("fixedStep chrom=c start=1 step=1\n1\n3\n5\n", [2, 5]),
        ("track x\nfixedStep chrom=c start=2 step=3 span=2\n1\n2\n", [1, 1, 2]),
        ("#\nvariableStep chrom=c span=2\n1 4\n5 6\n", [4, np.nan, 6]),
        ("variableStep chrom=c\n4 1\n3 1\nfixedStep chrom=c start=1\n3\n5\n", [4, 1]),
        (
            "\ufeff#\r\n\r\nvariableStep  chrom=c\tspan=2\r\n1\t4\r\n \r\n 5   6 \r\n",
            [4, np.nan, 6],
        ),
    ],
)
def test_wiggle(text: str, expected: list[float], tmp_path: Path) -> None:
    (tmp_path / "a.wig").write_text(text)
    (sample,) = read(tmp_path, bin_bases=2).values()
    assert np.array_equal(values(sample)[0], np.array(expected, np.float16), equal_nan=True)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("1\n", "bad-wig"),
        ("fixedStep chrom=c step=1\n1\n", "bad-wig"),
        ("fixedStep chrom=c start=1 step=0\n1\n", "bad-wig"),
        ("fixedStep chrom=c start=1\nx\n", "bad-wig"),
        ("variableStep chrom=c\n1\n", "bad-wig"),
        ("variableStep chrom=c span=99999999\n1 1\n", "bad-wig"),
        ("variableStep chrom=c\n4000000000 1\n", "out-of-range"),
        ("variableStep chrom=c span=5\n1 2\n3 3\n", "overlapping-values"),
        ("variableStep chrom=c\n1 2\n1 2\n", "overlapping-values"),
        ("fixedStep chrom=c start=1 step=1 span=2\n1\n2\n", "overlapping-values"),
        (
            "fixedStep chrom=c start=1\n1\n2\nvariableStep chrom=c\n2 5\n",
            "overlapping-values",
        ),
        ("", "empty-file"),
    ],
)
def test_wiggle_that_is_refused(text: str, code: str, tmp_path: Path) -> None:
    (tmp_path / "a.wig").write_text(text)
    form, plan = planned(tmp_path)
    codes = [one.code for one in plan.refused]
    for item in (item for group in plan.groups for item in group):
        with pytest.raises(DataError) as caught:
            list(form.read(Source(tmp_path), item))
        codes.append(caught.value.code)
    assert codes == [code]


def test_real_conservation(data_dir: Path) -> None:
    root = data_dir / "genomics" / "mtdna"
    (sample,) = read(root, bin_bases=1, lengths={"chrM": 16_569}).values()
    track = values(sample)
    assert track.shape == (1, 16_569)
    assert np.array_equal(track[0, :4], np.array([0.190, 0.181, 0.163, 0.161], np.float16))
    (binned,) = (values(one) for one in read(root, lengths={"chrM": 16_569}).values())
    assert binned.shape == (1, 130)
    assert binned[0, 0] == pytest.approx(float(np.nanmean(track[0, :128], dtype=float)), abs=2e-3)


def empty_bigwig(path: Path, contigs: dict[str, int], *, index: bool) -> None:
    """A bigWig without records, as pyBigWig writes it (no index) or UCSC's tools (an empty one)."""
    key = max(map(len, contigs), default=0)
    tree = struct.pack("<4IQQ", 0x78CA8C91, 256, key, 8, len(contigs), 0)
    tree += struct.pack("<BBH", 1, 0, len(contigs))
    for number, (name, length) in enumerate(contigs.items()):
        tree += name.encode().ljust(key, b"\0") + struct.pack("<II", number, length)
    data = 104 + len(tree)
    rtree = struct.pack("<IIQ4IQII", 0x2468ACE0, 256, 0, 0, 0, 0, 0, data, 1, 0) + b"\1\0\0\0"
    places = 104, data, (data + 8) * index
    head = struct.pack("<IHH3QHHQQIQ", 0x888FFC26, 4, 0, *places, 0, 0, 0, 64, 1 << 15, 0)
    total = struct.pack("<Q4d", 0, 0, 0, 0, 0)
    path.write_bytes(head + total + tree + (struct.pack("<Q", 0) + rtree if index else b""))


@pytest.mark.parametrize("index", [False, True])
@pytest.mark.parametrize("missing", ["nan", "zero"])
def test_a_file_without_records_has_no_values(index: bool, missing: str, tmp_path: Path) -> None:
    empty_bigwig(tmp_path / "a.bw", {"chr1": 5003, "chrM": 40}, index=index)
    write(tmp_path / "b.bw", LENGTHS, 1)
    empty_bigwig(tmp_path / "c.bw", {}, index=index)
    found = read(tmp_path, missing=missing)
    assert list(found) == ["chr1", "chrM", "chr2"]
    assert all(one.row["names"] == ["a", "b", "c"] for one in found.values())
    for at, name in ((0, "chr1"), (2, "chr1"), (0, "chr2"), (0, "chrM"), (1, "chrM")):
        track = values(found[name])[at]
        assert np.isnan(track).all() if missing == "nan" else not track.any()
    assert np.isfinite(values(found["chr1"])[1]).any()


def test_a_source_of_empty_files_names_each(tmp_path: Path) -> None:
    empty_bigwig(tmp_path / "a.bw", {}, index=True)
    _, plan = planned(tmp_path)
    assert not plan.groups
    assert [(one.source, one.code) for one in plan.refused] == [("a.bw", "empty-file")]


@pytest.mark.parametrize("batch", [1, 2, 1000])
@pytest.mark.parametrize("block", [5, 2**20])
def test_a_contig_of_wiggle_text_is_read_from_its_own_lines(
    batch: int, block: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("medray.formats.bigwig.wig.BATCH", batch)
    monkeypatch.setattr("medray.formats.tabular.text.BLOCK", block)
    names = [f"c{number}" for number in range(30)]
    body = "".join(
        f"variableStep chrom={name} span=2\r\n1 {number}\r\n5 {number + 0.5}\r\n#\r\n"
        for number, name in enumerate(names)
    )
    again = "fixedStep chrom=c3 start=9 step=1\n7\n7\n"
    (tmp_path / "a.wig").write_bytes(("track\n" + body + again).encode())
    form, plan = planned(tmp_path, bin_bases=2)
    items = {item.key: item for group in plan.groups for item in group}
    sizes = {key: one.extra["places"][0] for key, one in items.items()}
    looked = sum(
        min(last, len(body)) - first for key, (first, last) in sizes.items() if key != "c3"
    )
    assert looked <= 2 * len(body)
    for number, name in enumerate(names):
        (sample,) = form.read(Source(tmp_path), items[name])
        assert isinstance(sample, Sample)
        wanted = [number, np.nan, number + 0.5, *([np.nan, 7] if name == "c3" else [])]
        assert np.array_equal(values(sample)[0], np.array(wanted, np.float16), equal_nan=True)


def test_a_line_without_a_value_costs_its_contig(tmp_path: Path) -> None:
    text = "fixedStep chrom=a start=1 step=1\n1\nx\n3\nvariableStep chrom=b\n1 5\n2 7\n"
    (tmp_path / "a.wig").write_text(text)
    (tmp_path / "b.wig").write_text("fixedStep chrom=a start=1 step=1\n2\n4\n")
    form, plan = planned(tmp_path, lengths={"a": 4, "b": 2}, bin_bases=1)
    assert not plan.refused
    found, codes = {}, {}
    for item in (item for group in plan.groups for item in group):
        try:
            (sample,) = form.read(Source(tmp_path), item)
            found[item.key] = np.asarray(sample.arrays["track"]).tolist()[0]
        except DataError as error:
            codes[item.key] = error.code
    assert found == {"b": [5, 7]}
    assert codes == {"a": "bad-wig"}
