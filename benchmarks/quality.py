"""The quality that shipped jobs must reach on real data: `make quality`.

Each job runs as it is shipped, by the command, on a fresh root. What it reached is read from the
version that its evaluation committed, with the 95 % bootstrap interval over subjects. The exit
status is 1 if a bar is missed. MEDRAY_DATA names the folder with the data.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medray.storage.datasets import Dataset, open_dataset
from medray.storage.objects import Objects

JOBS = Path(__file__).parents[1] / "jobs"


@dataclass(frozen=True)
class Bar:
    """A metric and what it must be at least ("≥") or at most ("≤")."""

    metric: str
    sign: str
    limit: float

    def met(self, value: float) -> bool:
        """Whether the value reaches the bar."""
        return value >= self.limit if self.sign == "≥" else value <= self.limit


@dataclass(frozen=True)
class Row:
    """A line of the table."""

    job: str
    metric: str
    value: str
    interval: str
    bar: str
    met: bool
    training: str = ""

    def cells(self) -> list[str]:
        """As texts."""
        met = "yes" if self.met else "NO"
        return [self.job, self.metric, self.value, self.interval, self.bar, met, self.training]


HEAD = ["job", "metric", "value", "95 % interval", "bar", "met", "training s"]
SCORES = {
    "hippocampus": [Bar("dice", "≥", 0.89), Bar("hd95_mm", "≤", 1.5)],
    "hippocampus-segnet": [Bar("dice", "≥", 0.85)],
    "em-membranes": [Bar("voxel_error", "≤", 0.085)],
    "pneumonia": [Bar("auroc", "≥", 0.955), Bar("accuracy", "≥", 0.865)],
}
TRAINING_S = {"hippocampus": 20 * 60}  # at most


def run(job: str, root: Path) -> list[dict[str, Any]]:
    """Run a shipped job on the root; its steps.

    Raises:
        RuntimeError: it failed; the text is its error's.
    """
    medray = str(Path(sys.executable).with_name("medray"))
    command = [medray, "run", str(JOBS / f"{job}.yaml"), "--storage", str(root / "store"), "--json"]
    # What a job exports goes beside the root, not into the checkout.
    done = subprocess.run(command, stdout=subprocess.PIPE, cwd=root, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"exit status {done.returncode}: {done.stdout[-2000:]}")
    steps: list[dict[str, Any]] = json.loads(done.stdout)["steps"]
    return steps


def scored(job: str, root: Path) -> Iterator[Row]:
    """Rows of a job that ends in an evaluation."""
    steps = run(job, root)
    objects = Objects(str(root / "store"))
    by_kind = {step["kind"]: step for step in steps}
    result = json.loads(objects.get(f"runs/{by_kind['train']['run']}/result.json"))
    training = result["seconds"]
    summary = open_dataset(objects, by_kind["evaluate"]["output"]).attributes["summary"]
    for bar in SCORES[job]:
        found = summary["metrics"][bar.metric]
        yield Row(
            job,
            bar.metric,
            f"{found['value']:.4f}",
            f"{found['low']:.4f}-{found['high']:.4f}, n={found['cases']}",
            f"{bar.sign} {bar.limit:g}",
            bar.met(found["value"]),
            f"{training:.0f}",
        )
    if job in TRAINING_S:
        bar = Bar("training s", "≤", TRAINING_S[job])
        yield Row(job, bar.metric, f"{training:.0f}", "", f"≤ {bar.limit:g}", bar.met(training))


def refused(job: str, root: Path) -> Iterator[Row]:
    """Rows of the job whose series must not become volumes."""
    (step,) = run(job, root)
    data: Dataset = open_dataset(Objects(str(root / "store")), step["output"])
    reasons = data.quarantine()["reason"].to_pylist()
    silent = step["units"]["committed"]
    yield Row(job, "volumes made", str(silent), "", "= 0", silent == 0)
    for words in (["18.5"], ["1.081", "6.999"]):
        naming = [reason for reason in reasons if all(word in reason for word in words)]
        named = "reason names " + " and ".join(words)
        yield Row(job, named, naming[0] if naming else "; ".join(reasons), "", "", bool(naming))


CHECKS: dict[str, Callable[[str, Path], Iterator[Row]]] = {
    **dict.fromkeys(SCORES, scored),
    "ct-head": refused,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=CHECKS, action="append", help="this job; may be repeated")
    parser.add_argument("--keep", type=Path, help="folder to leave the roots in")
    args = parser.parse_args()
    if not Path(os.environ.get("MEDRAY_DATA", "")).is_dir() or "MEDRAY_DATA" not in os.environ:
        raise SystemExit("set MEDRAY_DATA to the folder with the real data")
    os.environ["MEDRAY_DATA"] = str(Path(os.environ["MEDRAY_DATA"]).absolute())
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as scratch:
        for job in args.only or CHECKS:
            root = (args.keep or Path(scratch)).absolute() / job
            root.mkdir(parents=True)
            try:
                rows += CHECKS[job](job, root)
            except RuntimeError as error:
                rows.append(Row(job, "runs to its end", str(error), "", "", met=False))
    table = [HEAD, *(row.cells() for row in rows)]
    widths = [max(len(line[column]) for line in table) for column in range(len(HEAD))]
    for line in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)))
    if not all(row.met for row in rows):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
