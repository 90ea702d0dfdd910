"""Slides of 96 x 112 pixels, in tiles of 16, half of which have four tiles of another texture."""

from pathlib import Path

import numpy as np

from tests.contract.slide_examples import pyramid

TILE = 16
ROWS, COLUMNS = 6, 7
PLANTED = 4
CLASSES = ["plain", "striped"]


def write(root: Path, many: int, seed: int) -> dict[str, set[tuple[int, int]]]:
    """Slides in folders of their classes; returns the striped tiles of each, by sample id.

    All tissue has the same mean and deviation: noise of ± 40 pixel by pixel, or in stripes two
    pixels wide, and a stain that differs from slide to slide.
    """
    rng = np.random.default_rng(seed)
    planted = {}
    for number in range(many):
        kind = number % 2
        pixels = rng.integers(238, 244, (ROWS * TILE, COLUMNS * TILE, 3)).astype(np.int16)
        inner = [(r, c) for r in range(1, ROWS - 1) for c in range(1, COLUMNS - 1)]
        stain = np.array([180, 90, 150]) + rng.integers(-20, 21, 3)
        chosen = (
            {inner[at] for at in rng.choice(len(inner), PLANTED, replace=False)} if kind else set()
        )
        for row, column in inner:
            sign = rng.choice([-40, 40], (TILE, TILE))
            if (row, column) in chosen:
                sign = np.tile([[40, 40, -40, -40]], (TILE, TILE // 4))
            box = np.s_[row * TILE : (row + 1) * TILE, column * TILE : (column + 1) * TILE]
            pixels[box] = stain + sign[..., None]
        folder = root / CLASSES[kind]
        folder.mkdir(parents=True, exist_ok=True)
        pyramid(folder / f"s{number:03d}.tif", [pixels.astype(np.uint8)], 0.5)
        planted[f"{CLASSES[kind]}_s{number:03d}"] = chosen
    return planted
