"""A cascade by `jobs/cascade.yaml` beside the coarse network and the fine one alone.

The volumes are made here: balls that look alike are `near` or `far`, by the side of a rod at one
end of the volume, which no patch of the fine network shows together with a ball. `test` is of
other seeds. The fine network alone has the job's settings, without the guide.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import yaml
from bars import JOBS

SHAPE = (36, 36, 96)
SEEDS = {"train": 1, "test": 2}


def phantom(part: int, number: int) -> tuple[np.ndarray, np.ndarray]:
    """A volume, int16 (36, 36, 96), and its classes, uint8; slow axis first."""
    random = np.random.default_rng([16, part, number])
    z, y, x = np.indices(SHAPE)
    label = np.zeros(SHAPE, np.uint8)
    low = bool(random.integers(2))  # the side of the rod
    rod = np.hypot(y - SHAPE[1] / 2, x - (4 if low else SHAPE[2] - 5)) < 3
    for _ in range(int(random.integers(4, 9))):
        left = bool(random.integers(2))
        middle = random.uniform((6, 6, 30), (SHAPE[0] - 6, SHAPE[1] - 6, 36))
        if not left:
            middle[2] = SHAPE[2] - 1 - middle[2]
        far = np.sqrt((z - middle[0]) ** 2 + (y - middle[1]) ** 2 + (x - middle[2]) ** 2)
        label[far < random.uniform(2.5, 4)] = 1 if left == low else 2
    light = 100 * (label > 0) + 150 * rod + random.normal(0, 30, label.shape)
    return light.astype(np.int16), label


def write(folder: Path, counts: dict[str, int]) -> None:
    """Volumes and masks as NIfTI, of 1 mm."""
    for name, count in counts.items():
        for kind in ("images", "labels"):
            (folder / name / kind).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            made = phantom(SEEDS[name], number)
            for kind, values in zip(("images", "labels"), made, strict=True):
                image = nib.Nifti1Image(values.transpose(2, 1, 0), np.eye(4))
                nib.save(image, folder / name / kind / f"{name}-{number:03d}.nii.gz")


def alone(root: Path, job: Path) -> Path:
    """A job of the fine network by itself, with the settings that it has in the cascade."""
    steps = list(yaml.safe_load_all(job.read_text()))
    fine = next(one for one in steps if one.get("output") == "fine")
    plan = {name: value for name, value in fine["plan"].items() if name != "guide"}
    made = [
        {**fine, "data": "cascade-train", "output": "alone", "plan": plan},
        {
            "kind": "predict", "model": "alone", "data": "cascade-test", "precision": "bf16",
            "output": "alone-masks",
        },
        {
            "kind": "evaluate", "predictions": "alone-masks", "data": "cascade-test",
            "output": "alone-scores",
        },
    ]  # fmt: skip
    written = root / "alone.yaml"
    written.write_text("\n---\n".join(json.dumps(one) for one in made))
    return written


def run(job: Path, root: Path, volumes: Path, sets: list[str]) -> None:
    """Run a job in a storage below `root`."""
    medray = str(Path(sys.executable).with_name("medray"))
    environment = {**os.environ, "MEDRAY_CASCADE": str(volumes)}
    command = [medray, "run", str(job), "--storage", str(root / "store"), "--cluster", "inline"]
    subprocess.run(
        [*command, "--json", *sets], stdout=subprocess.DEVNULL, env=environment, check=True
    )


def said(root: Path, name: str) -> dict[str, Any]:
    """Print what an evaluation says; its metrics."""
    from medray.storage.catalog.datasets import open_dataset
    from medray.storage.store.objects import Objects

    found = open_dataset(Objects(str(root / "store")), f"{name}-scores").attributes["summary"]
    for metric, one in found["metrics"].items():
        if metric.startswith("dice"):
            interval = f"({one['low']:.3f}-{one['high']:.3f})"
            print(f"{name}, {metric}: {one['value']:.3f} {interval}, n {found['cases']}")
    metrics: dict[str, Any] = found["metrics"]
    return metrics


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--train", type=int, default=24, help="volumes to learn from")
    parser.add_argument("--test", type=int, default=12, help="volumes that are scored")
    parser.add_argument("--folder", type=Path, help="where volumes and storage stay")
    parser.add_argument("--only-write", action="store_true", help="write the volumes and stop")
    parser.add_argument("--set", action="append", default=[], help="values of the job")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        root = (args.folder or Path(temporary)).resolve()
        volumes = root / "cascade"
        write(volumes, {"train": args.train, "test": args.test})
        if args.only_write:
            return
        sets = [part for one in args.set for part in ("--set", one)]
        started = time.monotonic()
        run(JOBS / "cascade.yaml", root, volumes, sets)
        print(f"cascade: {time.monotonic() - started:.0f} s")
        run(alone(root, JOBS / "cascade.yaml"), root, volumes, [])
        found = {name: said(root, name) for name in ("alone", "coarse", "cascade")}
    best = max(found[name]["dice"]["value"] for name in ("alone", "coarse"))
    if found["cascade"]["dice"]["value"] <= best:
        raise SystemExit("the cascade is no better than its parts")


if __name__ == "__main__":
    main()
