"""The quality that shipped jobs must reach on real data: `make quality`.

Each job runs as it is shipped, by the command, on a fresh root. What it reached is read from the
version that its evaluation committed, with the 95 % bootstrap interval over subjects. The exit
status is 1 if a bar is missed. MEDRAY_DATA names the folder with the data.
"""

import argparse
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import brca1
import numpy as np
from bars import HEAD, Bar, Row, run
from curves import CURVES, curves
from drawn import DRAWN, drawn
from pyarrow import csv
from risks import EFFECTS_OF, RISKS, effects_of, risks

from medray.baselines.logistic import Logistic
from medray.formats.genomics.alphabet import PAD, decode
from medray.storage.catalog.datasets import Dataset, open_dataset
from medray.storage.store.objects import Objects
from medray.tasks.metrics.bootstrap import Bootstrap
from medray.tasks.metrics.probability import auroc

SCORES = {
    "hippocampus": [Bar("dice", "≥", 0.89), Bar("hd95_mm", "≤", 1.5)],
    "hippocampus-folds": [Bar("dice", "≥", 0.895), Bar("hd95_mm", "≤", 1.35)],
    "pretrain-hippocampus": [Bar("dice", "≥", None), Bar("hd95_mm", "≤", None)],
    "hippocampus-segnet": [Bar("dice", "≥", 0.85)],
    "blood-cells": [Bar("map50", "≥", 0.88)],
    "em-membranes": [Bar("voxel_error", "≤", 0.085)],
    "pneumonia": [Bar("auroc", "≥", 0.955), Bar("accuracy", "≥", 0.865)],
    "pneumonia-gan": [
        Bar("auroc", "≥", 0.89, "pneumonia-drawn-scores"),  # .92 of what real images give
        Bar("auroc", "≥", 0.955, "pneumonia-both-scores"),
    ],
    "splice": [Bar("accuracy", "≥", 0.955)],
    "expression": [Bar("r2", "≥", 0.76)],
    "variant-sites": [Bar("auroc", "≥", None)],  # `sites` holds it against its baseline
    "yeast": [Bar("pearson", "≥", 0.82)],
    "promoters": [
        Bar("mcc", "≥", 0.80, "ecoli-scores"),
        Bar("mcc", "≥", 0.92, "arabidopsis-scores"),
    ],
    "genome-table": [
        Bar("accuracy", "≥", 70 / 72, "golub-scores", baseline=True),
        Bar("accuracy", "≥", 61 / 63, "khan-scores", baseline=True),
        Bar("accuracy", "≥", 69 / 72, "golub-scores"),
        Bar("accuracy", "≥", 61 / 63, "khan-scores"),
    ],
    "multi-omics": [Bar("auroc", "≥", 0.90), Bar("accuracy", "≥", 0.81)],
    "ecg-beats": [
        Bar("accuracy", "≥", 0.92),
        Bar("sensitivity", "≥", 0.85, of="V"),
        Bar("precision", "≥", 0.75, of="V"),
    ],
    "ecg5000": [Bar("accuracy", "≥", 0.93)],
    "ecg-anomaly": [
        Bar("auroc", "≥", 0.90, "anomaly-scores"),
        Bar("sensitivity", "≥", None, "alarm-scores"),
        Bar("false_alarms_per_hour", "≤", 60, "alarm-scores"),
    ],
    "eeg-eye": [  # the second leaks
        Bar("accuracy", "≥", None, "eye-blocks-scores"),
        Bar("accuracy", "≥", None, "eye-chance-scores"),
    ],
    "ner": [Bar("f1", "≥", 0.80)],
    "ddi": [Bar("f1", "≥", 0.625)],  # of the mean; of each network 0.615
    "note-sections": [Bar("accuracy", "≥", 0.73)],
    "note-summary": [
        Bar("rouge1", "≥", 0.35),
        Bar("quantities_right", "≥", None),
        Bar("quantities_found", "≥", None),
    ],
    "affinity": [Bar("ci", "≥", 0.87), Bar("mse", "≤", 0.30)],
    "esol": [Bar("rmse", "≤", 0.60)],  # of the graph alone, and with descriptors
    "freesolv": [Bar("rmse", "≤", None)],  # of 65 compounds: `seeds.py` has the mean of parts
    "lipo": [Bar("rmse", "≤", 0.66)],
    "bace": [Bar("auroc", "≥", 0.88)],
    "tox21": [Bar("auroc", "≥", 0.82)],
    "bbbp": [Bar("auroc", "≥", 0.75)],  # of a random part, and of scaffolds
    "hiv": [Bar("auroc", "≥", 0.76)],
    "survival-metabric": [Bar("c_index", "≥", 0.642), Bar("brier", "≤", None)],
    "survival-support": [Bar("c_index", "≥", 0.617), Bar("brier", "≤", None)],
    "survival-folds": [Bar("c_index", "≥", None, margin=0.005), Bar("brier", "≤", None)],
    "brca1": [
        Bar("auroc", "≥", None, "brca1-windows-scores"),
        Bar("auroc", "≥", None, "brca1-scores"),
    ],
}
TRAINING_S = {"hippocampus": 20 * 60, "affinity": 15 * 60}  # at most
GAIN = 0.02  # of AUROC, over logistic regression of the bases around
AROUND = 7  # of these, on either side
GENOTYPES = (48265, 10015, 4992)  # of vcf-qc's 735 variants and 100 samples; 10,228 are missing
EFFECTS = (3893, 1326, 0)


def scored(job: str, root: Path) -> Iterator[Row]:
    """Rows of a job with evaluations, each of the training before it."""
    yield from judged(job, root, run(job, root))


def judged(job: str, root: Path, steps: list[dict[str, Any]]) -> Iterator[Row]:
    """Rows of a job that was run."""
    objects = Objects(str(root / "store"))
    trained = 0.0
    for step in steps:
        if step["kind"] == "train":
            trained = json.loads(objects.get(f"runs/{step['run']}/result.json"))["seconds"]
        if step["kind"] != "evaluate":
            continue
        name = step["output"].partition("@")[0]
        summary = open_dataset(objects, step["output"]).attributes["summary"]
        beside = next(iter(summary.get("baselines", {}).values()), {})
        for stated in SCORES[job]:
            if stated.scores not in ("", name):
                continue
            bar = stated.against(beside)
            found = (summary["classes"][bar.of] if bar.of else summary["metrics"])[bar.metric]
            interval = f"n={found['cases']}"
            if found["low"] is not None:
                interval = f"{found['low']:.4f}-{found['high']:.4f}, {interval}"
            value = beside[bar.metric] if bar.baseline else found["value"]
            yield Row(
                job,
                f"{name}: {bar.metric}"
                + (f" of {bar.of}" if bar.of else "")
                + (" of the baseline" if bar.baseline else ""),
                f"{value:.4f}",
                "" if bar.baseline else interval,
                "" if bar.limit is None else f"{bar.sign} {bar.limit:.4g}",
                bar.met(value),
                f"{trained:.0f}",
                f"{beside[bar.metric]:.4f}" if bar.metric in beside and not bar.of else "",
            )
        if job in TRAINING_S:
            bar = Bar("training s", "≤", TRAINING_S[job])
            yield Row(job, bar.metric, f"{trained:.0f}", "", f"≤ {bar.limit:g}", bar.met(trained))


def sites(job: str, root: Path) -> Iterator[Row]:
    """Rows of the job over a genome's sites: what the network adds to logistic regression of the
    bases around, of the same folds, and how many sites contradict the genome."""
    yield from judged(job, root, run(job, root))
    objects = Objects(str(root / "store"))
    codes = open_dataset(objects, "rcrs").array(0, "sequence")[...]
    windows, found = open_dataset(objects, "helix-windows"), open_dataset(objects, f"{job}-found")
    rows = windows.samples.to_pylist()
    places = {one: at for at, one in enumerate(found.samples["sample_id"].to_pylist())}
    order = [places[row["sample_id"]] for row in rows]
    truth = np.concatenate([windows.array(at, "label")[...] for at in range(len(rows))])
    network = np.concatenate([found.array(at, "probability")[...][1] for at in order])
    block, fold = (
        np.concatenate([np.full(row["end"] - row["start"], row[name]) for row in rows])
        for name in ("block", "fold")
    )
    linear = around(codes, truth, fold)
    scores = (network.astype(np.float64), linear.astype(np.float64))
    gain = Bootstrap().estimate(
        lambda weights: np.subtract(*(auroc(one, truth == 1, weights) for one in scores)),
        len(truth),
        block.tolist(),
    )
    beside = float(auroc(scores[1], truth == 1, np.ones((1, len(truth))))[0])
    yield Row(
        job,
        "auroc over that of the bases around",
        f"{gain.value:.4f}",
        f"{gain.low:.4f}-{gain.high:.4f}, n={len(set(block.tolist()))} blocks",
        f"≥ {GAIN}",
        (gain.value or 0) >= GAIN,
        baseline=f"{beside:.4f}",
    )
    genome = decode(codes)
    named = open_dataset(objects, "helix").samples.select(["locus", "alleles"]).to_pylist()
    wrong = 0
    for row in named:
        first, reference = int(row["locus"].partition(":")[2]) - 1, json.loads(row["alleles"])[0]
        wrong += genome[first : first + len(reference)] != reference
    yield Row(job, f"REF mismatches, {len(named)} sites", str(wrong), "", "= 0", wrong == 0)


def around(codes: np.ndarray, truth: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """Probability of a site at each base by logistic regression of the bases around it, fitted
    without its fold; all (bases,)."""
    padded = np.pad(codes, AROUND, constant_values=PAD)
    near = np.lib.stride_tricks.sliding_window_view(padded, 2 * AROUND + 1)
    design = (near[:, :, None] == np.arange(4)).reshape(len(codes), -1).astype(np.float32)
    made = np.empty(len(codes), np.float32)
    for one in np.unique(fold):
        held = fold == one
        fitted = Logistic.of_classes(design[~held], truth[~held], 2)
        made[held] = fitted.answers(design[held])[:, 1]
    return made


def effects(job: str, root: Path) -> Iterator[Row]:
    """Rows of the job over BRCA1's SNVs, and of the scores that are published for them."""
    snvs = brca1.rows_of(Path(os.environ["MEDRAY_DATA"]) / brca1.SOURCE)
    windows = brca1.windows_of(snvs, brca1.WIDTH)
    counts = (len(windows.scored), len(windows.references), int((~windows.ref_match).sum()))
    right = counts == EFFECTS
    yield Row(job, "SNVs, windows of REF, mismatches", f"{counts}", "", f"= {EFFECTS}", right)
    lost, exons = snvs["class"] == "LOF", snvs["exon"].tolist()
    for name in ("cadd", "phylop"):
        score = snvs[name]
        found = Bootstrap().estimate(partial(auroc, score, lost), len(lost), exons)
        interval = f"{found.low:.4f}-{found.high:.4f}, n={len(lost)}"
        yield Row(job, f"{name} alone: auroc", f"{found.value:.4f}", interval, "", met=True)
    os.environ["BRCA1"] = str(root / "brca1.csv")
    csv.write_csv(brca1.table_of(snvs), os.environ["BRCA1"])
    yield from judged(job, root, run(job, root, Path(__file__).parent))


def counted(job: str, root: Path) -> Iterator[Row]:
    """Rows of the job that counts genotypes; the golden counts are scikit-allel's."""
    step = run(job, root)[-1]
    data = open_dataset(Objects(str(root / "store")), step["output"])
    totals: dict[str, int] = {}
    for index, row in enumerate(data.samples.to_pylist()):
        counts = data.array(index, "sample_counts")[...].sum(axis=1)
        for name, count in zip(row["counts"], counts.tolist(), strict=True):
            totals[name] = totals.get(name, 0) + count
    names = ("sample_hom_ref", "sample_het", "sample_hom_alt")
    found = tuple(totals[name] for name in names)
    bar = f"= {', '.join(map(str, GENOTYPES))}"
    yield Row(job, "genotypes 0/0, 0/1, 1/1", f"{found}", "", bar, found == GENOTYPES)


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
    **dict.fromkeys(DRAWN, drawn),
    **dict.fromkeys(CURVES, curves),
    **dict.fromkeys(RISKS, risks),
    **dict.fromkeys(EFFECTS_OF, effects_of),
    "variant-sites": sites,
    "brca1": effects,
    "vcf-qc": counted,
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
