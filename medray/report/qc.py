"""What quality control found, as a section of the page: figures without any id on them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from medray.report.figures import PALETTE, drawing

SHOWN = 3000  # points in a scatter; those that fail come first
FAILED = PALETTE[4]


@dataclass(frozen=True)
class Quality:
    """One section.

    Args:
        name: of the dataset.
        tiles: (what, value, note), the first thing to see.
        refused: (threshold, its value, how many do not keep to it).
        figures: SVGs.
    """

    name: str
    tiles: Sequence[tuple[str, str, str]]
    refused: Sequence[tuple[str, str, int]]
    figures: Sequence[str]


def quality(name: str, found: Mapping[str, Any]) -> Quality:
    """The section of a dataset's attribute `qc`, as the transforms variant-qc and expression-qc
    make it."""
    return _variants(name, found) if found["kind"] == "variants" else _expression(name, found)


def _variants(name: str, found: Mapping[str, Any]) -> Quality:
    counts, samples = found["variants"], found["samples"]
    rates = _numbers(samples["call_rate"])
    ratio = counts["ti"] / counts["tv"] if counts["tv"] else None
    kept = sum(found["sample_pass"])
    tiles = [
        ("variants kept", f"{counts['passed']:,}", f"of {counts['variants']:,}"),
        ("samples kept", f"{kept:,}", f"of {len(rates):,}"),
        ("mean call rate", f"{np.nanmean(rates):.4f}" if len(rates) else "-", "over samples"),
        ("Ti/Tv", "-" if ratio is None else f"{ratio:.2f}", "of single bases, by ALT"),
        ("multi-allelic", f"{counts['multi_allelic']:,}", "variants"),
        ("monomorphic", f"{counts['monomorphic']:,}", "no ALT is called"),
    ]
    figures = [
        _histogram(title, label, found["histograms"][key], limit)
        for key, title, label, limit in (
            ("call_rate", "Call rate of variants", "share of samples called", _low(found, "geno")),
            ("maf", "Allele frequencies", "minor allele frequency", found["thresholds"]["maf"]),
            ("depth", "Depth of variants", "mean reads", None),
        )
        if key in found["histograms"]
    ]
    if "log_hwe" in found["histograms"]:
        figures.append(_qq(found["histograms"]["log_hwe"], found["thresholds"]["hwe"]))
    passing = np.array(found["sample_pass"], bool)
    het, titv = _numbers(samples["het_rate"]), _numbers(samples["ti_tv"])
    if len(rates):
        figures.append(
            _scatter(
                "Heterozygosity against call rate",
                ("call rate of the sample", "share of calls that are heterozygous"),
                rates,
                het,
                ~passing,
            )
        )
    if np.isfinite(titv).sum() > 1:
        figures.append(_spread("Ti/Tv of samples", "transitions over transversions", titv))
    parts = found.get("components") or {}
    if parts and len(parts["coordinates"]) > 1:
        x, y = (_numbers(one) for one in parts["coordinates"][:2])
        title = f"Samples by {parts['variants']:,} variants"
        figures.append(_scatter(title, _axes(parts["explained"]), x, y))
    return Quality(name, tiles, _refused(found["thresholds"], found["refused"]), figures)


def _expression(name: str, found: Mapping[str, Any]) -> Quality:
    cells, genes = found["cells"], found.get("genes", {})
    tiles = [
        ("cells kept", f"{cells['passed']:,}", f"of {cells['cells']:,}"),
        ("genes kept", f"{genes.get('kept', 0):,}", f"of {genes.get('genes', 0):,}"),
        ("variable genes", f"{genes.get('variable', 0):,}", "gone on with"),
        ("groups", f"{len(found.get('groups', {}).get('sizes', []))}", "of cells"),
    ]
    limits = found["options"]
    figures = [
        _histogram(title, label, found["histograms"][key], limit)
        for key, title, label, limit in (
            ("library", "Library sizes", "sum of a cell's values", limits["min_library"] or None),
            ("genes", "Genes detected", "genes above 0 in a cell", limits["min_genes"] or None),
            ("marked", f"Share of {limits['marked']} genes", "of a cell's values", None),
        )
        if key in found["histograms"]
    ]
    if "components" in found:
        parts, groups = found["components"], np.array(found["groups"]["shown"])
        if len(parts["coordinates"]) > 1:
            x, y = (_numbers(one) for one in parts["coordinates"][:2])
            figures.append(_groups("Cells by expression", _axes(parts["explained"]), x, y, groups))
        mean, dispersion = (_numbers(found["variability"][k]) for k in ("mean", "dispersion"))
        labels = ("log mean", "log dispersion")
        figures.append(_scatter("The most variable genes", labels, mean, dispersion))
        figures.append(_heat("Correlation of the most variable genes", found["correlation"]))
    return Quality(name, tiles, _refused(limits, found["refused"]), figures)


def _refused(limits: Mapping[str, Any], counts: Mapping[str, int]) -> list[tuple[str, str, int]]:
    return [(name, f"{limits[name]:g}", counts[name]) for name in counts]


def _numbers(values: Sequence[float | None]) -> np.ndarray:
    return np.array([np.nan if value is None else value for value in values], np.float64)


def _low(found: Mapping[str, Any], name: str) -> float | None:
    limit = found["thresholds"][name]
    return None if limit is None else 1 - limit


def _axes(explained: Sequence[float | None]) -> tuple[str, str]:
    first, second = (
        f"component {n + 1} ({(share or 0):.1%} of the variance)"
        for n, share in enumerate(explained[:2])
    )
    return first, second


def _histogram(title: str, label: str, found: Mapping[str, Any], limit: float | None) -> str:
    counts = np.asarray(found["counts"])
    edges = np.linspace(found["low"], found["high"], len(counts) + 1)
    filled = np.flatnonzero(counts)
    with drawing(title) as (axes, svg):
        axes.stairs(counts, edges, fill=True, color=PALETTE[0], alpha=0.8)
        if len(filled):
            # The bins that hold something, and a little beside them.
            low, high = edges[filled[0]], edges[filled[-1] + 1]
            room = 0.03 * (high - low)
            axes.set_xlim(low - room, high + room)
            if counts.max() > 200 * max(1, np.median(counts[filled])):
                axes.set_yscale("log")
        if limit is not None:
            axes.axvline(limit, color=FAILED, linewidth=1.2, linestyle="--")
        axes.set_xlabel(label)
        axes.set_ylabel("count")
    return svg[0]


def _spread(title: str, label: str, values: np.ndarray) -> str:
    known = values[np.isfinite(values)]
    counts, edges = np.histogram(known, min(40, max(8, len(known) // 10)))
    found = {"low": edges[0], "high": edges[-1], "counts": counts}
    return _histogram(title, label, found, None)


def _qq(found: Mapping[str, Any], limit: float | None) -> str:
    """Observed against expected -log10 p: a point for each bin, at the share of p below it."""
    counts = np.asarray(found["counts"], np.float64)
    edges = np.linspace(found["low"], found["high"], len(counts) + 1)
    above = counts[::-1].cumsum()[::-1]
    filled = counts > 0
    expected = -np.log10(above[filled] / counts.sum())
    with drawing("Hardy-Weinberg: exact p-values") as (axes, svg):
        end = max(float(expected.max(initial=1)), 1.0)
        axes.plot([0, end], [0, end], color=PALETTE[5], linewidth=1, linestyle="--")
        axes.plot(expected, edges[:-1][filled], "o", color=PALETTE[0], markersize=3.5)
        if limit:
            axes.axhline(-np.log10(limit), color=FAILED, linewidth=1.2, linestyle="--")
        axes.set_xlabel("expected -log10 p")
        axes.set_ylabel("observed -log10 p")
    return svg[0]


def _scatter(
    title: str,
    labels: tuple[str, str],
    x: np.ndarray,
    y: np.ndarray,
    failed: np.ndarray | None = None,
) -> str:
    bad = np.zeros(len(x), bool) if failed is None else failed
    order = np.argsort(~bad, kind="stable")[:SHOWN]
    with drawing(title) as (axes, svg):
        for chosen, colour in ((order[~bad[order]], PALETTE[0]), (order[bad[order]], FAILED)):
            if len(chosen):
                label = "kept" if colour != FAILED else "not kept"
                axes.scatter(
                    x[chosen], y[chosen], s=11, color=colour, alpha=0.6, linewidths=0, label=label
                )
        axes.set_xlabel(labels[0])
        axes.set_ylabel(labels[1])
        if bad.any():
            axes.legend()
    return svg[0]


def _groups(
    title: str, labels: tuple[str, str], x: np.ndarray, y: np.ndarray, groups: np.ndarray
) -> str:
    with drawing(title) as (axes, svg):
        for number in range(int(groups.max(initial=0)) + 1):
            chosen = groups == number
            colour, marker = PALETTE[number % len(PALETTE)], "os^D"[number // len(PALETTE) % 4]
            axes.scatter(
                x[chosen],
                y[chosen],
                s=10,
                color=colour,
                marker=marker,
                alpha=0.6,
                linewidths=0,
                label=str(number + 1),
            )
        axes.set_xlabel(labels[0])
        axes.set_ylabel(labels[1])
        axes.legend(title="group", loc="center left", bbox_to_anchor=(1.02, 0.5), markerscale=1.8)
    return svg[0]


def _heat(title: str, found: Mapping[str, Any]) -> str:
    values = np.array([_numbers(line) for line in found["values"]])
    with drawing(title) as (axes, svg):
        shown = axes.imshow(values, cmap="RdBu_r", vmin=-1, vmax=1, interpolation="nearest")
        figure = axes.get_figure()
        if figure is not None:
            figure.colorbar(shown, ax=axes, label="Pearson's r")
        axes.grid(visible=False)
        if len(found["genes"]) <= 12:
            axes.set_xticks(range(len(found["genes"])), found["genes"], rotation=90)
        axes.set_yticks(range(len(found["genes"])), found["genes"], fontsize=6)
        axes.set_xlabel("the same genes, the most variable first")
    return svg[0]
