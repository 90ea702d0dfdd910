"""OME-Zarr in a tree that holds links and names that nobody can write."""

import os
from pathlib import Path

import numpy as np

from medray.formats.base import Source
from medray.formats.ome_zarr import OmeZarr
from medray.storage.shards.samples import Sample


def write(target: Path) -> None:
    row = {"spacing_mm": [4.0, 3.0, 2.0]}
    sample = Sample("case", row, {"image": np.zeros((1, 4, 8, 8), np.int16)})
    list(OmeZarr(OmeZarr.Options()).write([sample], target))


def test_folders_that_links_lead_to_are_refused_by_name(tmp_path: Path) -> None:
    root = tmp_path / "root"
    write(root / "in")
    write(tmp_path / "out")
    (root / "linked").symlink_to(tmp_path / "out")
    (root / "loop").symlink_to("loop")
    Path(os.fsdecode(os.fsencode(root) + b"/\xff")).mkdir()
    plan = OmeZarr(OmeZarr.Options()).plan(Source(root))
    assert [item.key for group in plan.groups for item in group] == ["in/case.ome.zarr"]
    assert [(one.source, one.code, one.kind) for one in plan.refused] == [
        ("linked", "linked-folder", "quarantined"),
        ("loop", "linked-folder", "quarantined"),
        ("\\xff", "unnameable", "quarantined"),
    ]
