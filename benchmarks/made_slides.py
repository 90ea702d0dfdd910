"""Slides that nobody has given: drawn tissue, some of which has nuclei of another size in places.

    python benchmarks/made_slides.py FOLDER                   # for jobs/slides.yaml
    python benchmarks/made_slides.py FOLDER --against ROOT    # where its maps point, in storage

Colours follow Beer and Lambert's law with the stain vectors of Ruifrok and Johnston (2001): glass
of 245, eosin in all tissue, haematoxylin in nuclei, each slide with concentrations and vectors of
its own. Tumour has nuclei of twice the radius, a quarter of them: they cover the same area, so that
no mean colour tells a tile, or a slide, from another. Train, validation and test have other seeds.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.signal import fftconvolve
from tifffile import TiffWriter

CLASSES = ("normal", "tumour")
TILE = 32  # pixels at half a micrometre
SIDE = 512
RADIUS = 2.5  # of a nucleus, in pixels
EVERY = 120  # pixels of tissue for each nucleus
EOSIN, HAEMATOXYLIN = np.array([0.07, 0.99, 0.11]), np.array([0.65, 0.70, 0.29])


def nuclei(wanted: np.ndarray, radius: float, rng: np.random.Generator) -> np.ndarray:
    """Discs strewn over an area, float (height, width), 1 where there is one.

    Args:
        wanted: where, bool (height, width).
        radius: in pixels; there are as many as cover the same share whatever it is.
        rng: of the slide.
    """
    share = (RADIUS / radius) ** 2 / EVERY
    seeds = (rng.random(wanted.shape) < share) & wanted
    reach = np.arange(-int(radius) - 1, int(radius) + 2)
    disc = (reach[:, None] ** 2 + reach**2 <= radius**2).astype(float)
    made: np.ndarray = fftconvolve(seeds.astype(float), disc, mode="same") > 0.5
    return made.astype(float)


def stained(tissue: np.ndarray, dark: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Colours uint8 (height, width, 3) of tissue and nuclei, with stains of the slide's own."""
    eosin, haematoxylin = (
        one * rng.uniform(0.7, 1.3) * (1 + rng.uniform(-0.15, 0.15, 3))
        for one in (0.35 * EOSIN, 1.1 * HAEMATOXYLIN)
    )
    grain = 1 + 0.3 * gaussian_filter(rng.standard_normal(tissue.shape), 1.5) * 3
    density = (tissue * grain)[..., None] * eosin + dark[..., None] * haematoxylin
    light = 245 * np.exp(-density) + rng.normal(0, 2, (*tissue.shape, 3))
    return np.clip(np.rint(light), 0, 255).astype(np.uint8)


def drawn(rng: np.random.Generator, *, tumour: bool, side: int = SIDE) -> tuple[np.ndarray, list]:
    """A slide, and row and column of the tiles that are tumour for the most part."""
    field = gaussian_filter(rng.standard_normal((side // 8, side // 8)), side / 80)
    tissue = np.kron(field > np.quantile(field, 0.45), np.ones((8, 8), bool))
    sick = np.zeros_like(tissue)
    if tumour:
        inside = np.argwhere(tissue)
        down, across = inside[rng.integers(len(inside))]
        y, x = np.ogrid[:side, :side]
        sick = ((y - down) ** 2 + (x - across) ** 2 < (3 * TILE) ** 2) & tissue
    dark = nuclei(tissue & ~sick, RADIUS, rng) + nuclei(sick, 2 * RADIUS, rng)
    blocks = sick.reshape(side // TILE, TILE, side // TILE, TILE).mean((1, 3))
    pixels = stained(tissue.astype(float), np.clip(dark, 0, 1), rng)
    return pixels, np.argwhere(blocks > 0.5).tolist()


def halved(pixels: np.ndarray) -> np.ndarray:
    """Means of 2 x 2 pixels."""
    tall, wide = (n // 2 for n in pixels.shape[:2])
    blocks = pixels[: 2 * tall, : 2 * wide].reshape(tall, 2, wide, 2, 3)
    return np.rint(blocks.mean((1, 3))).astype(np.uint8)


def written(path: Path, pixels: np.ndarray) -> None:
    """A pyramid of three levels in JPEG."""
    options = {"photometric": "rgb", "tile": (256, 256), "compression": "jpeg", "metadata": None}
    resolution = {"resolution": (20_000, 20_000), "resolutionunit": 3}
    with TiffWriter(path) as file:
        file.write(pixels, subifds=2, **options, **resolution)
        for level in (coarser := halved(pixels), halved(coarser)):
            file.write(level, subfiletype=1, **options)


def cohort(root: Path, counts: dict[str, int]) -> None:
    """Slides of all splits, half of them with tumour, with a table and the planted tiles."""
    root.mkdir(parents=True, exist_ok=True)
    lines, planted = ["file,label,split"], {}
    for number, (split, many) in enumerate(counts.items()):
        for at in range(many):
            kind = at % 2
            pixels, places = drawn(np.random.default_rng([7, number, at]), tumour=bool(kind))
            name = f"{split}-{at:03d}"
            written(root / f"{name}.tif", pixels)
            lines.append(f"{name}.tif,{CLASSES[kind]},{split}")
            planted[name] = places
    (root / "labels.csv").write_text("\n".join(lines) + "\n")
    (root / ".planted.json").write_text(json.dumps(planted))


def large(path: Path, side: int) -> None:
    """A slide of side x side pixels whose tiles are those of a small one, again and again, in JPEG
    with two coarser levels; written tile by tile."""
    pixels, _ = drawn(np.random.default_rng(3), tumour=True, side=2048)
    options = {"photometric": "rgb", "tile": (256, 256), "compression": "jpeg", "metadata": None}
    level, sizes = pixels, [side, side // 4, side // 16]
    with TiffWriter(path, bigtiff=True) as file:
        for number, size in enumerate(sizes):
            more = (
                {"subfiletype": 1}
                if number
                else {"subifds": 2, "resolution": (20_000, 20_000), "resolutionunit": 3}
            )
            shape = (size, size, 3)
            file.write(_tiles(level, size), shape=shape, dtype=np.uint8, **options, **more)
            level = halved(halved(level))


def _tiles(pixels: np.ndarray, size: int) -> Iterator[np.ndarray]:
    wide = len(pixels)
    for top in range(0, size, 256):
        for left in range(0, size, 256):
            rows, columns = (np.arange(at, at + 256) % wide for at in (top, left))
            yield np.ascontiguousarray(pixels[rows[:, None], columns])


def against(root: Path, store: str) -> None:
    """Print where maps of the job's predictions point: on planted tiles, or beside them."""
    from sklearn.metrics import roc_auc_score

    from medray.storage.catalog.datasets import open_dataset
    from medray.storage.store.objects import Objects

    planted = json.loads((root / ".planted.json").read_text())
    top, mass, share, attended, called = [], [], [], [], []
    for sample in open_dataset(Objects(store), "slide-answers"):
        if not planted[sample.id]:
            continue
        heat = np.asarray(sample.arrays["heat"])
        truth = np.zeros(heat.shape[1:], bool)
        truth[tuple(np.array(planted[sample.id]).T)] = True
        read = ~np.isnan(heat[0])
        attention, sick, probability = heat[0][read], truth[read], heat[2][read]
        top.append(sick[attention.argmax()])
        mass.append(attention[sick].sum() / attention.sum())
        share.append(sick.mean())
        attended.append(roc_auc_score(sick, attention))
        called.append(roc_auc_score(sick, probability))
    print(f"slides with planted tiles: {len(top)}, which are {np.mean(share):.3f} of their tiles")
    print(f"the most attended tile is planted: {np.mean(top):.3f}")
    print(f"attention on planted tiles: {np.mean(mass):.3f}")
    print(f"AUROC of tiles by attention: {np.mean(attended):.3f}, by class: {np.mean(called):.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--train", type=int, default=64)
    parser.add_argument("--val", type=int, default=24)
    parser.add_argument("--test", type=int, default=64)
    parser.add_argument("--against", metavar="ROOT", help="storage that the job ran in")
    args = parser.parse_args()
    if args.against:
        against(args.folder, args.against)
        return
    cohort(args.folder, {"train": args.train, "val": args.val, "test": args.test})


if __name__ == "__main__":
    main()
