"""What variant-qc has to show: figures without any id on them."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from medray.steps.transform.transforms.qc_page import components, histograms, thresholds, tile
from medray.tasks.section import Figure, Section


def section(name: str, found: Mapping[str, Any]) -> Section:
    """Of a dataset's attribute `qc`, as `VariantQc.conclude` makes it."""
    samples, limits = found["samples"], found["thresholds"]
    called = None if limits["geno"] is None else 1 - limits["geno"]  # what may be missing
    return Section(
        title=f"Quality: {name}",
        tiles=_tiles(found),
        tables=thresholds(limits, found["refused"]),
        figures=[
            *histograms(
                found["histograms"],
                (
                    (
                        "call_rate",
                        "Call rate of variants",
                        "share of samples called",
                        called,
                    ),
                    ("maf", "Allele frequencies", "minor allele frequency", limits["maf"]),
                    ("depth", "Depth of variants", "mean reads", None),
                ),
            ),
            *_p_values(found),
            *_rates(samples, found["sample_pass"]),
            *_ratios(samples["ti_tv"]),
            *_components(found.get("components")),
        ],
    )


def _tiles(found: Mapping[str, Any]) -> list[Any]:
    counts, kept = found["variants"], sum(found["sample_pass"])
    rates = [rate for rate in found["samples"]["call_rate"] if rate is not None]
    samples = len(found["samples"]["call_rate"])
    ratio = f"{counts['ti'] / counts['tv']:.2f}" if counts["tv"] else "-"
    return [
        tile("variants kept", f"{counts['passed']:,}", f"of {counts['variants']:,}"),
        tile("samples kept", f"{kept:,}", f"of {samples:,}"),
        tile("mean call rate", f"{np.mean(rates):.4f}" if rates else "-", "over samples"),
        tile("Ti/Tv", ratio, "of single bases, by ALT"),
        tile("multi-allelic", f"{counts['multi_allelic']:,}", "variants"),
        tile("monomorphic", f"{counts['monomorphic']:,}", "no ALT is called"),
    ]


def _p_values(found: Mapping[str, Any]) -> list[Figure]:
    if "log_hwe" not in found["histograms"]:
        return []
    data = {**found["histograms"]["log_hwe"], "limit": found["thresholds"]["hwe"]}
    return [Figure("qq", "Hardy-Weinberg: exact p-values", data)]


def _rates(samples: Mapping[str, Any], passing: list[bool]) -> list[Figure]:
    if not samples["call_rate"]:
        return []
    labels = ("call rate of the sample", "share of calls that are heterozygous")
    data = {"x": samples["call_rate"], "y": samples["het_rate"], "labels": labels}
    failed = [not one for one in passing]
    return [Figure("scatter", "Heterozygosity against call rate", {**data, "failed": failed})]


def _ratios(ti_tv: list[float | None]) -> list[Figure]:
    known = np.array([value for value in ti_tv if value is not None], np.float64)
    if len(known) < 2:
        return []
    counts, edges = np.histogram(known, min(40, max(8, len(known) // 10)))
    data = {"low": edges[0], "high": edges[-1], "counts": counts.tolist()}
    label = "transitions over transversions"
    return [Figure("histogram", "Ti/Tv of samples", {"label": label, **data})]


def _components(found: Mapping[str, Any] | None) -> list[Figure]:
    return components(f"Samples by {found['variants']:,} variants", found) if found else []
