"""Nuclei by `jobs/nuclei.yaml`, from pictures that are made here to a real one (MEDRAY_DATA).

The made pictures look like fluorescence: ellipses of several sizes, some in heaps, of uneven
brightness, blurred, on a ground that is not flat, with noise of photons and of the camera; a few
are mitotic, small and bright. The job trains on four fifths of them and is scored on the rest;
the model is then asked about the real picture, of which it has seen nothing.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from bars import JOBS
from PIL import Image
from scipy import ndimage

SIZE = 256
BARS = {"iou": 0.88, "foreground_iou": 0.88}


def made(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A picture, uint8 (256, 256), and its numbered nuclei, uint16."""
    random = np.random.default_rng([2018, seed])
    radius = random.uniform(5, 12)  # of this picture's nuclei, about
    count = int(random.uniform(0.05, 0.3) * SIZE**2 / (np.pi * radius**2))
    heaps = random.uniform(0, SIZE, (max(1, count // 5), 2))
    label = np.zeros((SIZE, SIZE), np.uint16)
    light = np.zeros(label.shape)
    y, x = np.indices(label.shape)
    number = 0
    texture = ndimage.gaussian_filter(random.normal(size=label.shape), 2)
    texture *= 0.12 / texture.std()
    for _ in range(count):
        middle = random.uniform(0, SIZE, 2)
        if random.random() < 0.5:
            middle = heaps[random.integers(len(heaps))] + random.normal(0, 1.6 * radius, 2)
        mitotic = random.random() < 0.04
        long = radius * random.uniform(0.75, 1.3) * (0.6 if mitotic else 1)
        short = long * random.uniform(0.55, 1)
        turn = random.uniform(0, np.pi)
        dy, dx = y - middle[0], x - middle[1]
        along = np.cos(turn) * dy + np.sin(turn) * dx
        across = np.cos(turn) * dx - np.sin(turn) * dy
        angle = np.arctan2(across, along)
        wave = 1 + random.uniform(0, 0.08) * np.cos(3 * angle + random.uniform(0, 6))
        far = np.hypot(along / long, across / short) / wave
        free = (far <= 1) & (label == 0)
        if free.sum() < 20 or free.sum() < 0.5 * (far <= 1).sum():
            continue
        number += 1
        label[free] = number
        bright = random.uniform(0.35, 1) * (2.5 if mitotic else 1)
        inside = bright * (1 - 0.25 * np.clip(far, 0, 1) ** 2) * (1 + texture)
        light = np.where(free, inside, light)
    light = ndimage.gaussian_filter(light, random.uniform(0.6, 1.6))
    light += random.uniform(0, 0.25) * ndimage.gaussian_filter(light, 12)  # out of focus
    slope = random.normal(0, 0.04, 2)
    ground = random.uniform(0.03, 0.25) + slope[0] * y / SIZE + slope[1] * x / SIZE
    photons = random.uniform(40, 400)
    seen = random.poisson(np.clip(light + ground, 0, None) * photons) / photons
    seen += random.normal(0, random.uniform(0.002, 0.03), label.shape)
    top = random.uniform(90, 255)
    shown = np.clip(seen / np.percentile(seen, 99.8) * top, 0, 255)
    return shown.astype(np.uint8), label


def write(folder: Path, pictures: int) -> None:
    """Pictures and label images."""
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for seed in range(pictures):
        image, label = made(seed)
        Image.fromarray(image).save(folder / "images" / f"made-{seed:03d}.png")
        Image.fromarray(label).save(folder / "masks" / f"made-{seed:03d}.png")


def real(folder: Path) -> Path:
    """The real pair, as the job takes it."""
    source = Path(os.environ["MEDRAY_DATA"]) / "imaging" / "nuclei_stardist" / "2d"
    for name, file in (("images", "img2d.tif"), ("masks", "mask2d.tif")):
        (folder / name).mkdir(parents=True, exist_ok=True)
        shutil.copy(source / file, folder / name / "real.tif")
    return folder


def asked(root: Path, pictures: Path) -> dict[str, Any]:
    """Scores of the trained model on other pictures, by a job of its own."""
    steps = [
        {
            "kind": "ingest", "format": {"name": "image", "layout": "instances", "colour": "grey"},
            "source": str(pictures), "output": "real",
        },
        {
            "kind": "predict", "model": "nuclei-unet", "data": "real", "options": {"tta": True},
            "precision": "bf16", "output": "real-masks",
        },
        {"kind": "evaluate", "predictions": "real-masks", "data": "real", "output": "real-scores"},
    ]  # fmt: skip
    job = root / "real.yaml"
    job.write_text("\n---\n".join(json.dumps(one) for one in steps))
    return run(job, root, os.environ)


def run(job: Path, root: Path, environment: Any, *more: str) -> dict[str, Any]:
    """Run a job; what its last evaluation says of all cases together."""
    from medray.storage.catalog.datasets import open_dataset
    from medray.storage.store.objects import Objects

    medray = str(Path(sys.executable).with_name("medray"))
    store = str(root / "store")
    command = [medray, "run", str(job), "--storage", store, "--json", "--cluster", "inline", *more]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, text=True, cwd=root, env=environment, check=True
    )
    outputs = [step["output"] for step in json.loads(done.stdout)["steps"]]
    scores = next(one for one in reversed(outputs) if "-scores" in one)
    summary: dict[str, Any] = open_dataset(Objects(store), scores).attributes["summary"]
    return summary


def said(name: str, summary: dict[str, Any]) -> None:
    """Print counts and metrics."""
    counts, cases = summary["totals"], summary["cases"]
    print(
        f"{name}: {cases} pictures, {counts['actual']} nuclei, {counts['predicted']} predicted, "
        f"{counts['matched']} matched"
    )
    for metric, found in summary["metrics"].items():
        interval = "" if found["low"] is None else f" ({found['low']:.4f}-{found['high']:.4f})"
        print(f"{name}, {metric}: {found['value']:.4f}{interval}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=150, help="that are made")
    parser.add_argument("--folder", type=Path, help="where pictures and storage stay")
    parser.add_argument("--source", type=Path, help="pictures of yours, in place of made ones")
    parser.add_argument("--set", action="append", default=[], help="values of the job")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        root = (args.folder or Path(temporary)).resolve()
        pictures = (args.source or root / "made").resolve()
        if args.source is None:
            write(pictures, args.pictures)
        sets = [part for one in args.set for part in ("--set", one)]
        environment = {**os.environ, "MEDRAY_NUCLEI": str(pictures)}
        summary = run(JOBS / "nuclei.yaml", root, environment, *sets)
        said("held out", summary)
        if os.environ.get("MEDRAY_DATA"):
            said("real picture", asked(root, real(root / "real")))
        if any(summary["metrics"][name]["value"] < least for name, least in BARS.items()):
            raise SystemExit(f"below {BARS}")


if __name__ == "__main__":
    main()
