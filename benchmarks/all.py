"""Every benchmark in turn, small enough for twenty minutes on two quiet cores: `make bench`.

Prints what each says, then one table of its figures beside floor and goal. The exit status is 1
if a benchmark fails; a figure below its floor is marked, for a busy machine is no failure.
"""

import argparse
import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parent
FIGURE = re.compile(r"^(?P<name>.+?): (?P<value>\d+\.\d+)(?: \((?P<detail>.*)\))?$")


@dataclass(frozen=True)
class Limit:
    """Floor and goal of a figure; "≥": more is better, "≤": less is."""

    sign: str
    floor: float
    goal: float

    def mark(self, value: float) -> str:
        """How the value stands to both."""
        way = 1 if self.sign == "≥" else -1
        if way * value >= way * self.goal:
            return "goal"
        return "floor" if way * value >= way * self.floor else "BELOW"


@dataclass(frozen=True)
class Benchmark:
    """A script, its arguments here, and the limits of the figures it prints, by name."""

    script: str
    arguments: list[str] = field(default_factory=list)
    limits: dict[str, Limit] = field(default_factory=dict)


FLAT = Limit("≤", 1.1, 1.05)
BENCHMARKS = [
    Benchmark(
        "predict.py",
        ["--rounds", "3", "--volumes", "2"],
        {
            "medray / torch 1x2": Limit("≥", 0.95, 1.05),
            "medray / torch 2x1": Limit("≥", 0.95, 1.05),
            "medray / torch 2x1, our layout": Limit("≥", 0.9, 0.98),
            "medray / monai": Limit("≥", 2.0, 3.0),
            "medray / bare": Limit("≥", 0.95, 0.97),
        },
    ),
    Benchmark(
        "raydata.py",
        ["--rounds", "1", "--volumes", "6"],
        {"medray / ray data": Limit("≥", 2.0, 3.0)},
    ),
    Benchmark(
        "patches.py",
        ["--pairs", "5"],
        {
            "medray / tensorstore": Limit("≥", 0.9, 1.0),
            "medray / zarr-python": Limit("≥", 3.0, 4.0),
        },
    ),
    Benchmark(
        "ragged.py",
        ["--samples", "20000", "--turns", "5", "--slow", "2"],
        {
            "medray ragged, fast / parquet": Limit("≥", 3.0, 10.0),
            "medray ragged, dense / parquet": Limit("≥", 3.0, 5.0),
        },
    ),
    Benchmark(
        "ingest.py",
        ["--pairs", "3", "--series", "4"],
        {
            "medray / pydicom": Limit("≥", 1.1, 1.3),
            "medray from disk / pydicom from disk": Limit("≥", 1.0, 1.3),
        },
    ),
    Benchmark(
        "variants.py",
        ["--pairs", "3"],
        {"window builder, thousand pairs/s": Limit("≥", 100, 200)},
    ),
    Benchmark(
        "loader.py",
        ["--pairs", "5"],
        {
            "medray / memmap": Limit("≥", 0.7, 0.8),
            "augmented / memmap": Limit("≥", 0.7, 0.8),
        },
    ),
    Benchmark(
        "scoring.py", ["score", "--pairs", "3"], {"medray / network": Limit("≥", 0.85, 0.92)}
    ),
    Benchmark("graphs.py", ["predict", "--pairs", "3"], {"medray / bare": Limit("≥", 0.8, 0.85)}),
    Benchmark(
        "scoring.py",
        ["vcf", "--pairs", "3"],
        {"annotated VCF, thousand records/s": Limit("≥", 400, 500)},
    ),
    Benchmark("alts.py", ["--no-reference"], {"peak with ÷ without": Limit("≤", 1.3, 1.1)}),
    Benchmark("ddp.py", ["--rounds", "2"], {"medray / torchrun": Limit("≥", 0.97, 0.99)}),
    Benchmark(
        "objectives.py", ["--rounds", "20"], {"adversarial / by hand": Limit("≥", 0.97, 0.99)}
    ),
    Benchmark(
        "commit.py",
        ["--volumes", "4", "--small", "96", "--units", "120"],
        {
            "commit and checksums, CT": Limit("≤", 0.03, 0.01),
            "commit and checksums, hippocampus": Limit("≤", 0.03, 0.01),
            "work after a kill at half way": Limit("≤", 1.1, 1.03),
        },
    ),
    Benchmark(
        "memory.py",
        ["--units", "100", "--repeats", "3"],
        {
            "predict, depth x 4": FLAT,
            "inline driver, units x 10": FLAT,
            "ray driver, units x 10": FLAT,
        },
    ),
    Benchmark(
        "ensemble.py",
        ["--rounds", "2", "--volumes", "1"],
        {
            "five networks / one, time": Limit("≤", 5.2, 5.05),
            "five networks / one, memory": Limit("≤", 1.3, 1.1),
        },
    ),
    Benchmark(
        "seg.py",
        [],
        {
            "labelmap MB": Limit("≤", 2, 1),
            "labelmap seconds": Limit("≤", 3, 2),
            "binary MB": Limit("≤", 50, 40),
            "binary seconds": Limit("≤", 3, 2),
        },
    ),
    Benchmark(
        "scale.py",
        ["--units", "2000"],
        {"throughput / ideal, 64 actors": Limit("≥", 0.9, 0.95), "driver, units x 10": FLAT},
    ),
    Benchmark(
        "serve.py",
        ["--seconds", "5", "--samples", "1000"],
        {
            "endpoint / bare, requests/s": Limit("≥", 0.9, 1.0),
            "endpoint / bare, p50": Limit("≥", 0.9, 1.0),
            "endpoint / bare, p99": Limit("≥", 0.9, 1.0),
            "endpoint / documented, requests/s": Limit("≥", 1.0, 1.3),
            "bulk through serve / through ray data": Limit("≥", 0.9, 1.0),
        },
    ),
    Benchmark(
        "submit.py",
        ["3"],
        {"submit and wait / ray job submit, same job": Limit("≤", 0.25, 0.22)},
    ),
]

if os.environ.get("MEDRAY_DATA"):  # the material is real
    BENCHMARKS.append(
        Benchmark(
            "signals.py",
            ["all"],
            {
                "windows by 1024 / memmap": Limit("≥", 0.7, 1.0),
                "stored / EDF": Limit("≤", 0.8, 0.7),
            },
        )
    )
    BENCHMARKS.append(
        Benchmark(
            "vcf.py",
            ["--pairs", "2"],
            {
                f"{name}: {figure}": limit
                for name in ("gvcf", "calls")
                for figure, limit in {
                    "medray / vcf2zarr": Limit("≥", 0.95, 1.5),
                    "files / vcf2zarr's": Limit("≤", 0.1, 0.05),
                }.items()
            },
        )
    )


def figures(said: str) -> dict[str, tuple[float, str]]:
    """Name → (value, detail) of the lines that give a figure."""
    found = [match for line in said.splitlines() if (match := FIGURE.match(line))]
    return {match["name"]: (float(match["value"]), match["detail"] or "") for match in found}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=[one.script for one in BENCHMARKS], action="append")
    args = parser.parse_args()
    lines: list[str] = []
    failed = []
    for benchmark in BENCHMARKS:
        if args.only and benchmark.script not in args.only:
            continue
        print(f"== {benchmark.script} {' '.join(benchmark.arguments)}", flush=True)
        started = time.perf_counter()
        command = [sys.executable, str(HERE / benchmark.script), *benchmark.arguments]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
        print(f"{done.stdout}{time.perf_counter() - started:.0f} s", flush=True)
        found = figures(done.stdout)
        if done.returncode or not benchmark.limits.keys() <= found.keys():
            failed.append(benchmark.script)
        for name, limit in benchmark.limits.items():
            if name in found:
                value, detail = found[name]
                bounds = f"{limit.sign} {limit.floor:g} | {limit.sign} {limit.goal:g}"
                lines.append(f"| {name} | {value:g} | {bounds} | {limit.mark(value)} | {detail} |")
    print(f"\nload at the end {os.getloadavg()[0]:.1f}\n")
    print("| figure | value | floor | goal | reached | detail |\n|---|---|---|---|---|---|")
    print("\n".join(lines))
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
