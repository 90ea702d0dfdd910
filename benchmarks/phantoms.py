"""Small lesions in synthesised CT: `python benchmarks/phantoms.py FOLDER`, for `jobs/lesions.yaml`.

Nothing here comes from a patient. Each volume is a piece of lung of 1.5 mm voxels: vessels of 2 to
6 mm that wander through it, noise as of a low dose, and 0 to 6 round lesions of 3 to 12 mm, of a
vessel's density. `train` has 48 volumes, `test` 32 of another seed. Masks number the lesions.
"""

import sys
from pathlib import Path

import nibabel as nib
import numpy as np
from scipy import ndimage

SHAPE = (40, 80, 80)
VOXEL_MM = 1.5
COUNTS = {"train": (1, 48), "test": (2, 32)}
AFFINE = np.diag([-VOXEL_MM, -VOXEL_MM, VOXEL_MM, 1.0])


def phantom(seed: int, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Hounsfield units int16 and lesions by number uint8, both (Z, Y, X)."""
    random = np.random.default_rng([seed, number])
    image = np.full(SHAPE, -850.0)
    grid = np.indices(SHAPE).astype(np.float64)
    for _ in range(int(random.integers(3, 7))):
        image = np.maximum(image, _vessel(random))
    lesions = np.zeros(SHAPE, np.uint8)
    for lesion in range(int(random.integers(0, 7))):
        radius = random.uniform(3, 12) / 2 / VOXEL_MM
        for _ in range(100):  # until there is room
            centre = np.array([random.uniform(radius + 1, n - radius - 2) for n in SHAPE])
            far = np.sqrt(sum((axis - at) ** 2 for axis, at in zip(grid, centre, strict=True)))
            if not lesions[far <= radius + 2].any():
                break
        else:
            continue
        # The share of a voxel that a ball fills, nearly: its rim is as soft as a scanner has it.
        share = np.clip(radius + 0.5 - far, 0, 1)
        image += share * (random.uniform(-50, 60) - image)
        lesions[far <= max(radius, 0.87)] = lesion + 1
    image = ndimage.gaussian_filter(image, 0.4) + random.normal(0, 60, SHAPE)
    return np.clip(np.rint(image), -1024, 3071).astype(np.int16), lesions


def _vessel(random: np.random.Generator) -> np.ndarray:
    """One that wanders through the volume, thinner on its way, and air elsewhere."""
    made = np.full(SHAPE, -850.0)
    at = np.array([random.uniform(0, n) for n in SHAPE])
    step = random.normal(0, 1, 3)
    step /= np.linalg.norm(step)
    radius, density = random.uniform(1, 3) / VOXEL_MM, random.uniform(-50, 60)
    for _ in range(160):
        low = np.maximum(np.floor(at - radius - 1).astype(int), 0)
        high = np.minimum(np.ceil(at + radius + 2).astype(int), SHAPE)
        if (high <= low).any():
            break
        box = tuple(slice(*ends) for ends in zip(low, high, strict=True))
        near = np.meshgrid(*(np.arange(*e) for e in zip(low, high, strict=True)), indexing="ij")
        far = np.sqrt(sum((axis - middle) ** 2 for axis, middle in zip(near, at, strict=True)))
        share = np.clip(radius + 0.5 - far, 0, 1)
        made[box] = np.maximum(made[box], -850 + share * (density + 850))
        step += random.normal(0, 0.15, 3)
        step /= np.linalg.norm(step)
        at, radius = at + 0.7 * step, max(0.5, radius * 0.997)
    return made


def main(root: Path) -> None:
    for name, (seed, count) in COUNTS.items():
        for kind in ("images", "labels"):
            (root / name / kind).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            for kind, values in zip(("images", "labels"), phantom(seed, number), strict=True):
                image = nib.Nifti1Image(values.transpose(2, 1, 0), AFFINE)
                nib.save(image, root / name / kind / f"{name}-{number:03d}.nii.gz")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
