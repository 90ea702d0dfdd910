"""Windows of a genome: places, folds and labels, against sites that were put there."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medray.errors import SpecError
from medray.jobs.run import run
from medray.storage.catalog.datasets import Dataset, open_dataset
from medray.storage.store.objects import Objects

LETTERS = "ACGTTGCAACGGTTACGATCAGT"  # 23 bases


def made(
    objects: Objects, folder: Path, sites: str, operation: dict[str, Any], **options: Any
) -> Dataset:
    """The dataset of windows of a contig of LETTERS, with sites of a table."""
    folder.mkdir()
    (folder / "a.fa").write_text(f">chr7\n{LETTERS}\n")
    (folder / "sites.csv").write_text(sites)
    steps: list[dict[str, Any]] = [
        {
            "kind": "ingest",
            "format": {"name": "fasta", **options},
            "source": str(folder / "a.fa"),
            "output": "genome",
        },
        {
            "kind": "ingest",
            "format": {"name": "table", "columns": {"contig": "text", "pos": "integer"}},
            "source": str(folder / "sites.csv"),
            "output": "sites",
        },
        {
            "kind": "transform",
            "data": "genome",
            "using": {"sites": "sites"},
            "operation": {"name": "genome-windows", **operation},
            "output": "windows",
        },
    ]
    run(steps, storage=objects, cluster="inline")
    return open_dataset(objects, "windows")


SITES = "contig,pos,x\n7,1,1\n7,10,2\nchr7,11,3\n7,23,4\n7,23,5\n"


def test_labels_stand_at_their_bases_and_flanks_have_none(objects: Objects, tmp_path: Path) -> None:
    windows = made(objects, tmp_path / "in", SITES, {"width": 5, "flank": 2, "block": 10})
    rows = windows.samples.to_pylist()
    places = [(row["start"], row["end"], row["offset"], row["fold"]) for row in rows]
    assert places == [(0, 5, 0, 0), (5, 10, 2, 0), (10, 15, 2, 1), (15, 20, 2, 1), (20, 23, 2, 2)]
    assert [row["sequence"] for row in rows] == [
        LETTERS[max(0, start - 2) : end + 2] for start, end, _, _ in places
    ]
    labels = np.full(len(LETTERS), 9)
    for number, (start, end, offset, _) in enumerate(places):
        label = windows.array(number, "label")[:]
        assert (label[:offset] == 255).all()
        assert (label[offset + end - start :] == 255).all()
        labels[start:end] = label[offset : offset + end - start]
    assert np.flatnonzero(labels == 1).tolist() == [0, 9, 10, 22]
    assert np.count_nonzero(labels == 0) == 19
    assert windows.attributes["metrics"] == {"sites": 4}, "a position that comes twice is one"


def test_a_piece_of_a_contig_has_its_places_on_the_contig(objects: Objects, tmp_path: Path) -> None:
    sites = "contig,pos,x\nchr7,1003,1\nchr7,1023,2\n"
    windows = made(objects, tmp_path / "in", sites, {"width": 12}, offsets={"chr7": 1000})
    rows = windows.samples.to_pylist()
    assert [(row["sample_id"], row["start"], row["end"]) for row in rows] == [
        ("chr7:1000-1012", 1000, 1012),
        ("chr7:1012-1023", 1012, 1023),
    ]
    assert np.flatnonzero(windows.array(0, "label")[:]).tolist() == [2]
    assert np.flatnonzero(windows.array(1, "label")[:]).tolist() == [10]


def test_no_site_is_left_out_in_silence(objects: Objects, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="1 sites lie on contigs") as caught:
        made(objects, tmp_path / "one", SITES + "chrUn,4,6\n", {"width": 5})
    assert caught.value.code == "unknown-contig"
    with pytest.raises(SpecError, match="beyond the 23 bases"):
        made(objects, tmp_path / "two", SITES + "7,24,6\n", {"width": 5})
    chosen = {"width": 5, "where": {"contig": "7"}}
    windows = made(objects, tmp_path / "three", SITES + "chrUn,4,6\n", chosen)
    assert windows.attributes["metrics"] == {"sites": 3}
