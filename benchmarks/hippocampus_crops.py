"""Small volumes of two classes for `jobs/hippocampus-gan.yaml`: ends of real hippocampi.

    python benchmarks/hippocampus_crops.py FOLDER

Of each T1 MR of the Medical Segmentation Decathlon's task 4 (in MEDRAY_DATA), cubes of 24 voxels of
1 mm around the middle of the head (`anterior`) and of the body (`posterior`), four of each, moved
by up to 2 voxels. Intensities have no common scale there, so each volume is brought to 0 … 255 by
its percentiles 1 and 99.5. A cube is a TIFF of 24 pages in the folder of its class.
"""

import argparse
import os
from pathlib import Path

import nibabel as nib
import numpy as np
import tifffile

SIDE, EACH, MOVED = 24, 4, 2
CLASSES = {"anterior": 1, "posterior": 2}


def cubes(folder: Path, into: Path) -> int:
    """Write the cubes of all volumes below a folder; how many there are."""
    random = np.random.default_rng(16)
    count = 0
    for path in sorted((folder / "imagesTr").glob("*.nii.gz")):
        image = nib.load(path).get_fdata(dtype=np.float32)
        label = np.asarray(nib.load(folder / "labelsTr" / path.name).dataobj)
        low, high = np.percentile(image, (1, 99.5))
        image = np.pad(np.clip((image - low) / (high - low), 0, 1) * 255, SIDE, mode="edge")
        for name, value in CLASSES.items():
            middle = np.argwhere(label == value).mean(0) + SIDE
            (into / name).mkdir(parents=True, exist_ok=True)
            for number in range(EACH):
                at = np.rint(middle + random.integers(-MOVED, MOVED + 1, 3)).astype(int)
                begin = at - SIDE // 2
                cube = image[tuple(slice(one, one + SIDE) for one in begin)]
                pages = np.rint(cube.transpose(2, 1, 0)).astype(np.uint8)  # z, y, x
                case = path.name.removesuffix(".nii.gz")
                file = into / name / f"{case}-{number}.tif"
                tifffile.imwrite(file, pages, photometric="minisblack", compression="zlib")
                count += 1
    return count


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    data = Path(os.environ["MEDRAY_DATA"]) / "imaging" / "seg3d_msd_hippocampus"
    print(f"{cubes(data, arguments.folder)} cubes")
