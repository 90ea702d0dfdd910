"""The bars of samples that models draw; see quality.py."""

import json
from collections.abc import Iterator
from pathlib import Path

from bars import Bar, Row, run

from medray.storage.store.objects import Objects

DRAWN = {  # of each is told what the floor has
    "generate": [
        Bar("valid", "≥", 0.85),
        Bar("product", "≥", 0.75),
        Bar("distance", "≤", 0.20),
        Bar("nearest", "≥", 0.33),
        Bar("qed", "≥", 0.65),
    ],
    "generate-gan": [  # beside those of `generate`; its training refuses codes that are not exact
        Bar("valid", "≥", None),
        Bar("unique", "≥", None),
        Bar("product", "≥", None),
        Bar("distance", "≤", None),
        Bar("nearest", "≥", None),
        Bar("qed", "≥", None),
    ],
    "generate-qed": [
        Bar("valid", "≥", None),
        Bar("unique", "≥", 0.90),
        Bar("product", "≥", None),
        Bar("distance", "≤", None),
        Bar("nearest", "≥", None),
        Bar("qed", "≥", None),
    ],
}
GAIN = {"generate-qed": 0.10}  # of mean QED over what the network before draws, the job's first


def drawn(job: str, root: Path) -> Iterator[Row]:
    """Rows of a job whose last step draws samples, the floor's beside each."""
    steps = run(job, root)
    trained = [step["run"] for step in steps if step["kind"] == "train"][-1]
    result = json.loads(Objects(str(root / "store")).get(f"runs/{trained}/result.json"))
    seconds, metrics = f"{result['seconds']:.0f}", steps[-1]["metrics"]
    for bar in DRAWN[job]:
        value = metrics[bar.metric]
        limit = "" if bar.limit is None else f"{bar.sign} {bar.limit:.4g}"
        beside = f"{metrics[f'floor_{bar.metric}']:.4f}"
        yield Row(job, bar.metric, f"{value:.4f}", "", limit, bar.met(value), seconds, beside)
    if job in GAIN:
        first = next(step["metrics"] for step in steps if step["kind"] == "generate")
        gain, least = metrics["qed"] - first["qed"], GAIN[job]
        about = f"qed over {first['qed']:.4f} before"
        yield Row(job, about, f"{gain:.4f}", "", f"≥ {least:g}", gain >= least, seconds)
