"""Instances as steps of a job: learnt, predicted, counted, scored and shown."""

from pathlib import Path

import numpy as np
from PIL import Image

from medray.jobs.run import run
from medray.report.collect import collect
from medray.report.page import render
from medray.storage.catalog.datasets import open_dataset
from medray.storage.store.objects import Objects


def nuclei(root: Path, pictures: int) -> None:
    """Bright discs on a dark ground, some of which touch."""
    random = np.random.default_rng(0)
    for number in range(pictures):
        label = np.zeros((48, 48), np.uint16)
        y, x = np.indices(label.shape)
        for at in range(1, 7):
            centre, radius = random.uniform(4, 44, 2), random.uniform(4, 6)
            disc = (y - centre[0]) ** 2 + (x - centre[1]) ** 2 <= radius**2
            label[disc & (label == 0)] = at
        dark = random.normal(30, 5, label.shape)
        shown = dark + (label > 0) * random.uniform(90, 150, 7)[label]
        for folder, values in (("images", shown.astype(np.uint8)), ("masks", label)):
            (root / folder).mkdir(parents=True, exist_ok=True)
            Image.fromarray(values).save(root / folder / f"n{number:02d}.png")


def test_the_whole_way(objects: Objects, tmp_path: Path) -> None:
    nuclei(tmp_path / "raw", 16)
    steps = [
        {
            "kind": "ingest", "format": {"name": "image", "layout": "instances"},
            "source": str(tmp_path / "raw"), "output": "nuclei", "split": {"train": 3, "val": 1},
        },
        {
            "kind": "train", "data": "nuclei", "task": {"name": "instances"}, "output": "net",
            "model": {"name": "unet", "dims": 2, "features": [8, 16]}, "plan": {"patch": [32, 32]},
            "train": {"epochs": 6, "steps_per_epoch": 10, "batch_size": 8, "threads": 1,
                      "augment": {"elastic_chance": 0}, "validate_every": 6, "select": "last",
                      "optimiser": {"lr": 0.01}},
        },
        {
            "kind": "predict", "model": "net", "data": "nuclei", "select": {"split": "val"},
            "output": "found",
        },
        {"kind": "evaluate", "predictions": "found", "data": "nuclei", "output": "scores",
         "bootstrap": 20},
        {"kind": "export", "data": "found", "format": {"name": "image"},
         "to": str(tmp_path / "masks")},
        {"kind": "export", "data": "found", "format": {"name": "table"},
         "to": str(tmp_path / "counts")},
    ]  # fmt: skip
    done = run(steps, storage=objects, cluster="inline")
    assert done.steps[3].metrics["pq"] > 0.6
    assert done.steps[3].metrics["foreground_iou"] > 0.8
    assert done.steps[1].metrics["val_pq"] > 0.6
    found = open_dataset(objects, done.steps[2].output)
    for at, row in enumerate(found.samples.to_pylist()):
        mask = found.array(at, "label")[...]
        values, sizes = np.unique(mask[mask > 0], return_counts=True)
        assert mask.dtype == np.uint16
        assert values.tolist() == list(range(1, row["instances"] + 1))
        assert sizes.tolist() == row["instance_voxels"]
        file = tmp_path / "masks" / f"{row['sample_id']}.png"
        assert (np.asarray(Image.open(file)) == mask).all()
    summary = open_dataset(objects, done.steps[3].output).attributes["summary"]
    assert summary["totals"]["actual"] == sum(
        len(np.unique(truth)) - 1
        for truth in (
            np.asarray(Image.open(tmp_path / "raw" / "masks" / f"{row['sample_id']}.png"))
            for row in found.samples.to_pylist()
        )
    )
    page = render(collect(objects, "page", [one.as_json() for one in done.steps]))
    assert "IoU of instances" in page
    assert page.count("data:image/png") >= 6
