"""What a page shows of maps: their checks, and the first of them over their images."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from medray.modalities.image.explain import EXPLAINED, MAP
from medray.modalities.image.explain.checks import ALIKE, RANK
from medray.modalities.image.explain.draw import draw_map
from medray.modalities.image.overlay import draw_overlay, encode_png, flips
from medray.storage.catalog.datasets import Dataset
from medray.storage.shards.stored import InShard
from medray.tasks.metric import Metric
from medray.tasks.section import Figure, Picture, Section, Table, Tile

SHOWN = 6
WIDTH = 220
_KINDS = {"": "these maps", "_random": "random patches", "_centre": "a blob in the middle"}
CURVES = (
    "Insertion and deletion are areas under the curve of how sure the model is of what is "
    "explained, while voxels are put back or taken away in the order of a map (Petsiuk et al. "
    "2018); both are held against maps that know nothing."
)
CHANGES = (
    "Weights are made random layer by layer from the answer back (Adebayo et al. 2018), and maps "
    "compared by Spearman's correlation, its sign left out, and by structural similarity."
)


def section(predictions: Dataset, data: Dataset) -> Section | None:
    """The section of a dataset of predictions with maps; None where it has none."""
    made = predictions.attributes.get("explanations")
    if made is None:
        return None
    tiles = [Tile(Metric("maps", kind="count"), made["samples"], note=made["how"])]
    if made.get("pointing", {}).get("samples"):
        counted = made["pointing"]
        share = counted["inside"] / counted["samples"]
        note = f"{counted['inside']} of {counted['samples']} maps are highest inside of the mask"
        tiles.append(Tile(Metric("pointing accuracy"), share, note=note))
    checked = RANK in made
    return Section(
        title=f"What {predictions.name} looks at",
        tiles=tiles,
        tables=[_fidelity(made)] if checked else [],
        figures=[_changes(made)] if checked else [],
        notes=[] if checked else ["Nobody has checked these maps: ask for them with `checks`."],
        pictures=_pictures(predictions, data),
        definitions=(CURVES, CHANGES) if checked else (),
        cautions=made.get("verdict", ()),
    )


def _fidelity(made: Mapping[str, Any]) -> Table:
    rows = [
        {
            "case": name,
            "insertion": made[f"insertion{kind}"],
            "deletion": made[f"deletion{kind}"],
            "fidelity": made[f"insertion{kind}"] - made[f"deletion{kind}"],
        }
        for kind, name in _KINDS.items()
    ]
    columns = {
        "case": Metric("order", kind="text"),
        "insertion": Metric("insertion (higher is better)"),
        "deletion": Metric("deletion (lower is better)"),
        "fidelity": Metric("insertion less deletion"),
    }
    lead = f"Means over {made['checked']} samples."
    return Table(columns, rows, title="What the answer hangs on", lead=lead)


def _changes(made: Mapping[str, Any]) -> Figure:
    shares = [100 * (at + 1) / len(made[RANK]) for at in range(len(made[RANK]))]
    lines = {"correlation of ranks": (shares, made[RANK]), "SSIM": (shares, made[ALIKE])}
    data = {"label": "layers with random weights, %", "lines": lines, "up": "likeness to the map"}
    return Figure("line", "Do maps change with the weights?", data)


def _pictures(predictions: Dataset, data: Dataset) -> list[Picture]:
    """Images and their maps, of the samples that what is explained is surest in."""
    places = {name: at for at, name in enumerate(data.samples["sample_id"].to_pylist())}
    rows = predictions.samples.to_pylist()
    order = sorted(range(len(rows)), key=lambda at: (-_sure(rows[at]), at))
    panels = []
    for at in order[:SHOWN]:
        name = rows[at]["sample_id"]
        shard, row = predictions.place(at)
        stored = InShard(predictions.shards[shard], row)
        if name not in places:
            continue
        shard, row = data.place(places[name])
        source = InShard(data.shards[shard], row)
        values, image, turn = _planes(stored, source)
        rows_mm, columns_mm = (source.row.get("spacing_mm") or [1.0, 1.0])[-2:]
        how: dict[str, Any] = {"spacing_mm": (rows_mm, columns_mm), "turn": turn, "width": WIDTH}
        said = f"{name}: {', '.join(rows[at][EXPLAINED])}"
        panels.append((said, encode_png(draw_overlay(image, None, **how))))
        panels.append(("what the model looks at", encode_png(draw_map(image, values, **how))))
    if not panels:
        return []
    caption = "those in which what is explained is surest; bright: speaks for it"
    return [Picture("maps", caption, [("", "")] * 2, panels=panels)]


def _sure(row: Mapping[str, Any]) -> float:
    found = row.get("probability") or [0.0]
    return float(found[1] if len(found) == 2 else max(found))


def _planes(stored: InShard, source: InShard) -> tuple[np.ndarray, np.ndarray, tuple[bool, bool]]:
    """Map and image of one slice: of a volume that where the map is highest."""
    found = stored.array(MAP)
    image = source.array("image")
    if len(found.shape) == 3:
        pixels = image[...]
        colour = pixels.shape[0] == 3 and pixels.dtype == np.uint8
        return found[:1][0], np.moveaxis(pixels, 0, -1) if colour else pixels[0], (False, False)
    peak = stored.row.get("peak") or _highest(found)
    at = slice(int(peak[0]), int(peak[0]) + 1)
    return (
        found[slice(0, 1), at][0, 0],
        image[slice(0, 1), at][0, 0],
        flips(source.row.get("affine")),
    )


def _highest(found: Any) -> list[int]:
    """The plane of the first map that is highest, read plane by plane."""
    tops = [float(found[0:1, at : at + 1].max()) for at in range(found.shape[1])]
    return [int(np.argmax(tops))]
