"""The bars of risks and of treatment effects; see quality.py."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from bars import Bar, Row, run

from medray.storage.catalog.datasets import open_dataset
from medray.storage.store.objects import Objects

RISKS = ("heart-risk", "risk-tables")
MARGIN = 0.01  # of AUROC, below logistic regression of the same folds
SLOPES = (0.8, 1.2)
KNOWN = 3.4  # kg: Hernán and Robins, chapter 12


@dataclass(frozen=True)
class Runs:
    """How a job of effects is run: once, or with one value set to each of several.

    Args:
        bars: of the mean over runs.
        sets: what is set in each run; {data} stands for MEDRAY_DATA.
        holds: a value by the name of scores, that the interval of the average effect shall hold.
    """

    bars: tuple[Bar, ...] = ()
    sets: tuple[str, ...] = ("",)
    holds: tuple[tuple[str, float], ...] = ()


EFFECTS_OF = {
    "treatment-ihdp": Runs(
        (
            Bar("root_pehe", "≤", 0.75, "ihdp-scores"),
            Bar("ate_error", "≤", 0.17, "ihdp-scores"),
            Bar("root_pehe", "≤", None, "ihdp-effect-scores"),
            Bar("ate_error", "≤", None, "ihdp-effect-scores"),
        ),
        tuple(f"source={{data}}/treatment/ihdp/ihdp_npci_{at}.csv" for at in range(1, 9)),
    ),
    "treatment-acic": Runs(
        (
            Bar("root_pehe", "≤", None, "acic-scores"),
            Bar("ate_error", "≤", None, "acic-scores"),
        ),
        tuple(f"format.rows=zymu_{at}.csv.gz" for at in range(1, 4)),
    ),
    "smoking": Runs(holds=(("nhefs-scores", KNOWN), ("placebo-scores", 0.0))),
}


def summaries(root: Path, steps: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """What evaluations of a run found, by the name of the scores."""
    objects = Objects(str(root / "store"))
    named = [step["output"] for step in steps if step["kind"] == "evaluate"]
    return {
        one.partition("@")[0]: open_dataset(objects, one).attributes["summary"] for one in named
    }


def interval(found: dict[str, Any]) -> str:
    """Of an estimate, in words."""
    told = f"n={found['cases']}"
    return told if found["low"] is None else f"{found['low']:.4f}-{found['high']:.4f}, {told}"


def risks(job: str, root: Path) -> Iterator[Row]:
    """Rows of each evaluation of a job of risks: its AUROC beside that of logistic regression, and
    its calibration slope."""
    for name, summary in summaries(root, run(job, root)).items():
        area, slope = (summary["metrics"][one] for one in ("auroc", "calibration_slope"))
        beside = summary["baselines"]["logistic"]
        least = beside["auroc"] - MARGIN
        yield Row(
            job, f"{name}: auroc", f"{area['value']:.4f}", interval(area), f"≥ {least:.4f}",
            area["value"] >= least, baseline=f"{beside['auroc']:.4f}",
        )  # fmt: skip
        low, high = SLOPES
        yield Row(
            job, f"{name}: calibration slope", f"{slope['value']:.3f}", interval(slope),
            f"{low} … {high}", low <= slope["value"] <= high,
            baseline=f"{beside['calibration_slope']:.3f}",
        )  # fmt: skip


def effects_of(job: str, root: Path) -> Iterator[Row]:
    """Rows of a job of effects, of means over its runs."""
    runs = EFFECTS_OF[job]
    found: list[dict[str, dict[str, Any]]] = []
    for at, one in enumerate(runs.sets):
        own = root / str(at)
        own.mkdir()
        sets = [one.format(data=os.environ["MEDRAY_DATA"])] if one else []
        found.append(summaries(own, run(job, own, sets=sets)))
    for bar in runs.bars:
        values = [one[bar.scores]["metrics"][bar.metric]["value"] for one in found]
        beside = fmean(one[bar.scores]["baselines"]["t-learner"][bar.metric] for one in found)
        each = " ".join(f"{value:.3f}" for value in values)
        limit = "" if bar.limit is None else f"{bar.sign} {bar.limit:g}"
        yield Row(
            job, f"{bar.scores}: {bar.metric}, mean of {len(values)}", f"{fmean(values):.4f}", each,
            limit, bar.met(fmean(values)), baseline=f"{beside:.4f}",
        )  # fmt: skip
    for name, value in runs.holds:
        ate = found[0][name]["metrics"]["ate"]
        held = ate["low"] <= value <= ate["high"]
        yield Row(
            job, f"{name}: average effect", f"{ate['value']:.4f}", interval(ate),
            f"holds {value:g}", held,
        )  # fmt: skip
