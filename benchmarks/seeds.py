"""What a shipped job reaches over several seeds of its parts and weights, beside its baselines.

    MEDRAY_DATA=… python benchmarks/seeds.py esol --seeds 5
    … python benchmarks/seeds.py bbbp --set operation.seed={seed} --set train.seed={seed}

Each seed is a run of the job, by the command; every evaluation of it is told. What was computed
before is not computed again where `--keep` names the folder.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import fmean
from typing import Any

JOBS = Path(__file__).parents[1] / "jobs"
SETS = ["split.seed={seed}", "train.seed={seed}"]  # unless others are given
METRICS = ("rmse", "auroc", "c_index", "brier", "coverage", "width", "set_size")
METRICS += ("f1", "accuracy", "rouge1", "dice", "hd95_mm")


def run(job: str, root: Path, sets: list[str], cluster: str) -> list[dict[str, Any]]:
    """Steps of a run.

    Raises:
        SystemExit: it failed.
    """
    command = [sys.executable, "-m", "medray", "run", str(JOBS / f"{job}.yaml"), "--json"]
    command += ["--storage", str(root / "store"), "--cluster", cluster]
    command += [part for one in sets for part in ("--set", one)]
    done = subprocess.run(command, stdout=subprocess.PIPE, cwd=root, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"exit status {done.returncode}: {done.stdout[-2000:]}")
    steps: list[dict[str, Any]] = json.loads(done.stdout)["steps"]
    return steps


def told(steps: list[dict[str, Any]]) -> dict[str, float]:
    """Metrics of all evaluations, and baselines' beside them, by the names of the scores."""
    found = {}
    for step in steps:
        if step["kind"] != "evaluate":
            continue
        name = step["output"].partition("@")[0]
        for metric, value in step["metrics"].items():
            of, _, plain = metric.rpartition("_") if metric.startswith("baseline") else ("", "", "")
            if (plain or metric) in METRICS:
                found[f"{name}: {plain or metric}" + (f" of {of}" if of else "")] = value
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("job")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first", type=int, default=0, help="of the seeds")
    parser.add_argument("--set", action="append", help="of a run; {seed} is filled in")
    parser.add_argument("--cluster", default="local")
    parser.add_argument("--keep", type=Path, help="folder to leave the root in")
    args = parser.parse_args()
    every: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory() as scratch:
        root = (args.keep or Path(scratch)).absolute() / args.job
        root.mkdir(parents=True, exist_ok=True)
        for seed in range(args.first, args.first + args.seeds):
            sets = [one.format(seed=seed) for one in args.set or SETS]
            every.append(told(run(args.job, root, sets, args.cluster)))
            print(seed, json.dumps({k: round(v, 4) for k, v in every[-1].items()}), flush=True)
    print(f"{'mean':>8} {'least':>8} {'most':>8}  over {len(every)} seeds")
    for name in every[0]:
        values = [one[name] for one in every]
        print(f"{fmean(values):8.4f} {min(values):8.4f} {max(values):8.4f}  {name}")


if __name__ == "__main__":
    main()
