"""Quality of expression: which cells to keep, and what all of them together look like."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from medray.engine.quality.expression import (
    clusters,
    correlation,
    log_cpm,
    matrix,
    principal_components,
    totals,
    variability,
)
from medray.engine.quality.numbers_for_pages import binned, listed
from medray.errors import DataError
from medray.steps.transform.transforms.base import Transformation, TransformOptions
from medray.storage.catalog.datasets import Dataset
from medray.storage.shards.holds import Needs, names
from medray.storage.shards.reader import Shard
from medray.storage.shards.records import Refusal
from medray.storage.shards.samples import Sample
from medray.storage.shards.stored import InShard
from medray.tasks.section import Section

SHOWN = 2000  # cells on a page at most
CORRELATED = 25  # genes on a page


class ExpressionQc(Transformation):
    """A cell, or a sample, to its library size, genes detected and whether it passes.

    The values stay where they are. The dataset's attribute `qc` has what all passing cells say
    together: genes kept, the most variable of them, principal components and groups.
    """

    class Options(TransformOptions):
        """What to keep, and how to look at it."""

        array: str = Field("features", description="of the samples")
        logged: bool = Field(
            False, description="values are logarithms already; else counts, which become log CPM"
        )
        scale: float = Field(
            1e4, gt=0, description="sum that each cell's counts are scaled to: 1e6 is per million"
        )
        min_library: float = Field(0, ge=0, description="smallest sum of a cell's values")
        min_genes: int = Field(0, ge=0, description="fewest genes above 0 in a cell")
        marked: str = Field("MT-", description="how the names of genes under suspicion begin")
        max_marked: float = Field(1, ge=0, le=1, description="largest share of their values")
        min_cells: int = Field(1, ge=0, description="fewest cells that a gene is above 0 in")
        variable_genes: int = Field(2000, ge=2, description="most variable genes to go on with")
        components: int = Field(20, ge=2, le=100, description="principal components")
        clusters: int = Field(8, ge=1, description="groups of cells")
        tree: bool = Field(False, description="groups by Ward's tree, else by k-means")
        seed: int = 0

    name: ClassVar[str] = "expression-qc"
    options: Options

    @classmethod
    def sections(cls, name: str, attributes: Mapping[str, Any]) -> list[Section]:
        """See medray.steps.transform.transforms.expression_qc_page."""
        from medray.steps.transform.transforms.expression_qc_page import section

        return [section(name, attributes["qc"])] if "qc" in attributes else []

    @classmethod
    def needs(cls, options: Options, role: str = "") -> Needs:
        """The array."""
        return Needs((names(options.array),))

    @classmethod
    def reads(cls, attributes: dict[str, Any], using: frozenset[str]) -> dict[str, Any]:
        """Names of the features."""
        return {"features": attributes.get("features", {})}

    def apply(self, sample: InShard) -> Iterator[Sample | Refusal]:
        """Sums over one cell."""
        options = self.options
        if options.array not in sample.names:
            raise DataError(f"the sample has no array {options.array!r}", code="no-such-array")
        values = np.asarray(sample.array(options.array)[...], np.float64)
        values = np.where(np.isnan(values), 0, values)
        library, detected = float(values.sum()), int((values > 0).sum())
        marked = self._marked(len(values))
        share = float(values[marked].sum() / library) if library > 0 else 0.0
        good = {
            "min_library": library >= options.min_library,
            "min_genes": detected >= options.min_genes,
            "max_marked": share <= options.max_marked,
        }
        row = {
            "subject": sample.row.get("subject", sample.id),
            "library": library,
            "genes": detected,
            "marked": share,
            "pass": all(good.values()),
            "failed": [name for name, kept in good.items() if not kept],
        }
        yield Sample(sample.id, row)

    def conclude(self, shards: Sequence[Shard], data: Dataset) -> dict[str, Any]:
        """See the class; passes over the stored values by dask."""
        rows = [row for shard in shards for row in shard.table.to_pylist()]
        ids = {one: at for at, one in enumerate(data.samples["sample_id"].to_pylist())}
        kept = sorted(ids[row["sample_id"]] for row in rows if row["pass"])
        summary: dict[str, Any] = {
            "kind": "expression",
            "options": self.options.model_dump(),
            "cells": {"cells": len(rows), "passed": len(kept)},
            "refused": {
                name: sum(name in row["failed"] for row in rows)
                for name in ("min_library", "min_genes", "max_marked")
            },
            "histograms": {
                name: _histogram([row[name] for row in rows])
                for name in ("library", "genes", "marked")
                if rows
            },
        }
        if len(kept) > 2:
            summary |= self._together(data, kept)
        return {"qc": summary}

    def _together(self, data: Dataset, kept: list[int]) -> dict[str, Any]:
        import dask.array

        options, da = self.options, _untyped(dask.array)
        counts = matrix(data, options.array, kept)
        counts = da.where(da.isnan(counts), 0, counts).astype(np.float32)
        found = totals(counts)
        genes = np.flatnonzero(found.cells >= options.min_cells)
        logged = counts if options.logged else log_cpm(counts, found.library, options.scale)
        names = self._names(counts.shape[1])
        if len(genes) < 2:
            return {"genes": {"genes": counts.shape[1], "kept": len(genes)}}
        measured = variability(logged[:, genes])
        top = measured.top(options.variable_genes)
        chosen = genes[np.sort(top)] if len(top) > 1 else genes
        values = logged[:, chosen]
        components = principal_components(values, options.components, options.seed)
        groups = clusters(
            components.coordinates,
            min(options.clusters, len(kept)),
            tree=options.tree,
            seed=options.seed,
        )
        few = genes[top[:CORRELATED]] if len(top) > 1 else genes[:CORRELATED]
        related = correlation(logged[:, few]).compute()
        shown = np.linspace(0, len(kept) - 1, min(SHOWN, len(kept))).astype(int)
        return {
            "genes": {"genes": counts.shape[1], "kept": len(genes), "variable": len(chosen)},
            "variability": {
                "mean": listed(measured.mean[top[:SHOWN]], 4),
                "dispersion": listed(measured.dispersion[top[:SHOWN]], 4),
            },
            "variable_genes": [names[gene] for gene in genes[top]],
            "components": {
                "explained": listed(components.explained),
                "coordinates": [listed(c[shown], 4) for c in components.coordinates.T[:4]],
            },
            "groups": {
                "sizes": np.bincount(groups).tolist(),
                "shown": groups[shown].tolist(),
            },
            "correlation": {
                "genes": [names[gene] for gene in few],
                "values": [listed(line, 3) for line in related],
            },
        }

    def _names(self, width: int) -> list[str]:
        names = self.attributes["features"].get(self.options.array)
        known = names is not None and len(names) == width
        return list(names) if known else [str(at) for at in range(width)]

    def _marked(self, width: int) -> np.ndarray:
        if len(self._flags) != width:
            prefix = self.options.marked.upper()
            names = self._names(width)
            self._flags = np.array([bool(prefix) and n.upper().startswith(prefix) for n in names])
        return self._flags

    _flags: np.ndarray = np.zeros(0, bool)


def _untyped(module: Any) -> Any:
    return module


def _histogram(values: list[float]) -> dict[str, Any]:
    """Counts between the ends of the values."""
    found = np.asarray(values, np.float64)
    low, high = float(found.min()), float(found.max())
    high = high if high > low else low + 1
    return {"low": low, "high": high, "counts": binned(found, low, high).tolist()}
