"""Pointing accuracy of maps on lesion phantoms: whether the voxel where a map is highest lies in a
lesion, of test images that the model calls so or not.

Phantoms are those of the demo (`medray.demo`), half of them without lesions, as slices of 96 x 96
and as volumes of 24 x 48 x 48. The job `explanations.yaml` beside this script learns which have
one, and never sees a mask; its predictions have maps by all three methods, with all checks. Which
voxel to point at by chance would be right in the share that lesions have of the image, which is
told beside it.
"""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent))
from bars import run

from medray.demo import Subject, phantom
from medray.storage.catalog.datasets import open_dataset
from medray.storage.store.objects import Objects

DEPTH = 24
HERE = Path(__file__).parent
METHODS = ("grad-cam", "integrated-gradients", "occlusion")


def synthesise(root: Path, flat: int, deep: int, seed: int) -> None:
    """Write slices below root/flat and volumes below root/deep; every other one is sound."""
    for number in range(1, max(flat, deep) + 1):
        sound = number % 2 == 0
        image, lesions = phantom(Subject(number, "", seed), sound=sound)
        of = "sound" if sound else "lesion"
        at = len(image) // 2 if sound else int(lesions.sum((1, 2)).argmax())
        stored = (image.astype(np.int32) + 1024).astype(np.uint16)
        if number <= flat:
            _write(root / "flat", of, number, stored[at], lesions[at])
        if number <= deep:
            start = (len(image) - DEPTH) // 2
            some = slice(start, start + DEPTH)
            halves = stored[some].reshape(DEPTH, 48, 2, 48, 2)
            masks = lesions[some].reshape(DEPTH, 48, 2, 48, 2)
            small = halves.mean((2, 4)).round().astype(np.uint16)
            _write(root / "deep", of, number, small, masks.max((2, 4)))


def _write(root: Path, of: str, number: int, image: np.ndarray, mask: np.ndarray) -> None:
    for folder, values in (("images", image), ("masks", mask)):
        path = root / folder / of / f"{number:04d}"
        path.parent.mkdir(parents=True, exist_ok=True)
        if values.ndim == 3:
            tifffile.imwrite(path.with_suffix(".tif"), values, photometric="minisblack")
        else:
            Image.fromarray(values).save(path.with_suffix(".png"))


def told(objects: Objects, name: str) -> str:
    """A line of a prediction's maps."""
    dataset = open_dataset(objects, name)
    made = dataset.attributes["explanations"]
    pointing = made["pointing"]
    share = pointing["inside"] / pointing["samples"]
    beats = {kind: round(found[0], 3) for kind, found in made["beats"].items()}
    last = f"{made['randomised_rank'][-1]:.2f}, SSIM {made['randomised_ssim'][-1]:.2f}"
    said = "; ".join(made["verdict"]) or "nothing against them"
    inside = f"{pointing['inside']} of {pointing['samples']} ({share:.3f})"
    return (
        f"{name}: points into a lesion in {inside}; "
        f"above others by {json.dumps(beats)}; random weights: {last}; {said}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--flat", type=int, default=160, help="slices")
    parser.add_argument("--deep", type=int, default=160, help="volumes")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--root", type=Path, default=None)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = asked.root or Path(folder)
        synthesise(root / "raw", asked.flat, asked.deep, asked.seed)
        os.environ["PHANTOMS"] = str(root / "raw")
        steps = run("explanations", root, HERE)
        print(json.dumps([{k: one.get(k) for k in ("output", "seconds")} for one in steps]))
        objects = Objects(str(root / "store"))
        for kind in ("flat", "deep"):
            data = open_dataset(objects, f"phantoms-{kind}")
            shares = [
                sum(row["label_voxels"][1:]) / sum(row["label_voxels"])
                for row in data.samples.to_pylist()
                if row["class_name"] == "lesion"
            ]
            summary = open_dataset(objects, f"phantoms-{kind}-scores").attributes["summary"]
            area = summary["metrics"]["auroc"]["value"]
            print(
                f"{kind}: AUROC {area:.3f}; lesions are {np.mean(shares):.4f} of an image with any"
            )
            for how in METHODS:
                print(told(objects, f"phantoms-{kind}-{how}"), flush=True)


if __name__ == "__main__":
    main()
