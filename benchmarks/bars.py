"""What a shipped job must reach, and the lines that say what it has reached; see quality.py."""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

JOBS = Path(__file__).parents[1] / "jobs"


@dataclass(frozen=True)
class Bar:
    """A metric and what it must be at least ("≥") or at most ("≤").

    Args:
        limit: null: there is no bar, the value is told.
        margin: it is held against its baseline's instead, which it may be this much worse than.
        scores: of which evaluation, where a job has several.
        baseline: it is the linear baseline's, beside which the network stands.
        of: the class whose metric it is; empty: it is of all.
    """

    metric: str
    sign: str
    limit: float | None
    scores: str = ""
    baseline: bool = False
    of: str = ""
    margin: float | None = None

    def against(self, beside: dict[str, float]) -> "Bar":
        """The bar with its limit, where that is what its baseline reaches; see `margin`."""
        if self.margin is None:
            return self
        worse = self.margin if self.sign == "≥" else -self.margin
        return replace(self, limit=beside[self.metric] - worse)

    def met(self, value: float) -> bool:
        """Whether the value reaches the bar."""
        if self.limit is None:
            return True
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
    baseline: str = ""

    def cells(self) -> list[str]:
        """As texts."""
        met = "yes" if self.met else "NO"
        about = [self.job, self.metric, self.value, self.interval, self.bar, met]
        return [*about, self.training, self.baseline]


HEAD = ["job", "metric", "value", "95 % interval", "bar", "met", "training s", "linear"]


def run(job: str, root: Path, jobs: Path = JOBS, sets: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Run a job of the folder on the root, with values of it set; its steps.

    Raises:
        RuntimeError: it failed; the text is its error's.
    """
    medray = str(Path(sys.executable).with_name("medray"))
    command = [medray, "run", str(jobs / f"{job}.yaml"), "--storage", str(root / "store"), "--json"]
    command += [part for one in sets for part in ("--set", one)]
    # What a job exports goes beside the root, not into the checkout.
    done = subprocess.run(command, stdout=subprocess.PIPE, cwd=root, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"exit status {done.returncode}: {done.stdout[-2000:]}")
    steps: list[dict[str, Any]] = json.loads(done.stdout)["steps"]
    return steps
