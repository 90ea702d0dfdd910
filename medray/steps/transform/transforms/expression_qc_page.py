"""What expression-qc has to show: figures without any id on them."""

from collections.abc import Mapping
from typing import Any

from medray.steps.transform.transforms.qc_page import components, histograms, thresholds, tile
from medray.tasks.section import Figure, Section


def section(name: str, found: Mapping[str, Any]) -> Section:
    """Of a dataset's attribute `qc`, as `ExpressionQc.conclude` makes it."""
    cells, genes, limits = found["cells"], found.get("genes", {}), found["options"]
    groups = len(found.get("groups", {}).get("sizes", []))
    least = (limits["min_library"] or None, limits["min_genes"] or None)
    marked = f"Share of {limits['marked']} genes"
    return Section(
        title=f"Quality: {name}",
        tiles=[
            tile("cells kept", f"{cells['passed']:,}", f"of {cells['cells']:,}"),
            tile("genes kept", f"{genes.get('kept', 0):,}", f"of {genes.get('genes', 0):,}"),
            tile("variable genes", f"{genes.get('variable', 0):,}", "gone on with"),
            tile("groups", f"{groups}", "of cells"),
        ],
        tables=thresholds(limits, found["refused"]),
        figures=[
            *histograms(
                found["histograms"],
                (
                    ("library", "Library sizes", "sum of a cell's values", least[0]),
                    ("genes", "Genes detected", "genes above 0 in a cell", least[1]),
                    ("marked", marked, "of a cell's values", None),
                ),
            ),
            *(_together(found) if "components" in found else ()),
        ],
    )


def _together(found: Mapping[str, Any]) -> list[Figure]:
    """Of all cells that are kept."""
    shown = components("Cells by expression", found["components"], groups=found["groups"]["shown"])
    measured, related = found["variability"], found["correlation"]
    variable = {"labels": ("log mean", "log dispersion")}
    variable |= {"x": measured["mean"], "y": measured["dispersion"]}
    correlation = {
        "values": related["values"],
        "names": related["genes"],
        "label": "the same genes, the most variable first",
        "unit": "Pearson's r",
        "limits": (-1, 1),
    }
    return [
        *shown,
        Figure("scatter", "The most variable genes", variable),
        Figure("heat", "Correlation of the most variable genes", correlation),
    ]
