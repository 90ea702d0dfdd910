"""Images learnt from and explained, killed anywhere: the same answers, maps and checks, byte for
byte."""

import random
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from command import Run
from killing import run_killed
from PIL import Image

from medray.storage.catalog.datasets import open_dataset
from medray.storage.store.objects import Objects

PICTURES, VOLUMES = 8, 4
MAPS = ("flat-grad-cam", "flat-occlusion", "deep-integrated-gradients")
POINTS = [  # attempts, one a sample: 8 to ingest pictures, 8 and 8 to explain; 4 and 4 of volumes
    "attempt.begun=kill:11",
    "shard.written=kill:14",
    "commit.before-record=kill:20",
    "commit.after-record=kill:23",
    "shard.written=kill:30",
    "publish.before-manifest=kill:2",
    "publish.after-head=kill:3",
]


def synthesise(root: Path) -> None:
    """Pictures and volumes of noise, every other one with a bright block and its mask."""
    generator = np.random.default_rng(0)
    for kind, count, shape in (("flat", PICTURES, (24, 24)), ("deep", VOLUMES, (12, 20, 20))):
        for number in range(count):
            of = "lesion" if number % 2 else "sound"
            image, mask = generator.normal(100, 9, shape), np.zeros(shape, np.uint8)
            block = tuple(slice(4 + number, 9 + number) for _ in shape)
            if of == "lesion":
                image[block] += 60
                mask[block] = 1
            for folder, values in (("images", image.astype(np.uint8)), ("masks", mask)):
                path = root / kind / folder / of / f"{number:02d}"
                path.parent.mkdir(parents=True, exist_ok=True)
                if kind == "deep":
                    tifffile.imwrite(path.with_suffix(".tif"), values, photometric="minisblack")
                else:
                    Image.fromarray(values).save(path.with_suffix(".png"))


def steps(source: Path) -> list[dict[str, Any]]:
    """To learn which pictures have a block, and where it is in volumes, and to explain both."""
    form: dict[str, Any] = {"name": "image", "layout": "masks", "classes": ["sound", "lesion"]}
    train = {"epochs": 1, "steps_per_epoch": 8, "batch_size": 2, "threads": 1, "augment": None}

    def ingest(kind: str, **more: str) -> dict[str, Any]:
        parts = {"split": {"train": 1, "val": 1}, "units": {"samples": 2}}
        return {"kind": "ingest", "format": {**form, **more}, "source": str(source / kind),
                "output": kind, **parts}  # fmt: skip

    def learn(kind: str, task: str, **more: Any) -> dict[str, Any]:
        classes = {"name": task, "classes": ["sound", "lesion"]}
        return {"kind": "train", "data": kind, "task": classes, "train": train,
                "output": f"{kind}-net", **more}  # fmt: skip

    def explain(kind: str, how: str) -> dict[str, Any]:
        return {"kind": "predict", "data": kind, "model": f"{kind}-net", "output": f"{kind}-{how}",
                "options": {"outputs": how, "checks": True}}  # fmt: skip

    flat = {"name": "cnn", "dims": 2, "features": [4, 8], "convs": 1}
    deep = {"name": "unet", "dims": 3, "features": [4, 8], "convs": 1}
    return [
        ingest("flat"),
        learn("flat", "classification", model=flat, plan={"patch": [16, 16]}),
        explain("flat", "grad-cam"),
        explain("flat", "occlusion"),
        ingest("deep", pages="volume"),
        learn("deep", "segmentation", model=deep, plan={"patch": [8, 12, 12]}),
        explain("deep", "integrated-gradients"),
    ]


class Job(Run):
    """From files to maps, below a folder of its own."""

    def __init__(self, folder: Path, source: Path) -> None:
        super().__init__(folder, steps(source))

    def made(self) -> dict[str, str]:
        """Digests of answers with their maps and checks, and what was said of the maps."""
        objects = Objects(str(self.root))
        found = {}
        for name in MAPS:
            made = open_dataset(objects, name)
            assert len(made) == (VOLUMES if name.startswith("deep") else PICTURES)
            assert np.ptp(made.shards[0].array(0, "attribution")[...]) > 0
            found[name] = f"{made.digest} {made.attributes['explanations']}"
        return found


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source")
    synthesise(folder)
    return folder


@pytest.fixture(scope="module")
def clean(source: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    job = Job(tmp_path_factory.mktemp("clean"), source)
    assert job.finish() == 0
    return job.made()


@pytest.mark.drill
@pytest.mark.timeout(400)
@pytest.mark.parametrize("where", POINTS)
def test_killed_at_a_point(where: str, source: Path, clean: dict[str, str], tmp_path: Path) -> None:
    job = Job(tmp_path, source)
    assert job.finish(MEDRAY_FAULTS=where) == -signal.SIGKILL
    assert job.finish() == 0
    assert job.made() == clean


@pytest.mark.drill
@pytest.mark.timeout(600)
def test_driver_killed_at_random_moments(
    source: Path, clean: dict[str, str], tmp_path: Path
) -> None:
    job = Job(tmp_path, source)
    status, kills = run_killed(job.start, random.Random(5), (2.5, 6.5), 8)
    assert status == 0
    assert kills >= 2
    assert job.made() == clean
