"""Scoring of variants beside the bare network on resident windows; annotated VCF in records/s.

`score`: ranges of a table of sites, by the operation that workers run (windows built, looked up,
compared, written and committed), in windows per second through the network, over the same network
on as many windows that stand in memory already. The network is a convolution of a common size.

`vcf`: parts, and their join with the index, of a VCF without samples, in records per second.
"""

import argparse
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from pairs import interleave, ratio
from safetensors.torch import save
from variants import CONTIG, call_set

from medray.engine.units.inline import run_inline
from medray.engine.units.worker import Receipt, WorkerSpec
from medray.formats.fasta import Fasta
from medray.formats.vcf.annotated import _write_index, bgzipped
from medray.formats.vcf.merge import Annotations, annotated
from medray.formats.vcf.text.bgzf import lines_of
from medray.formats.vcf.text.blocks import EOF_MARK
from medray.modalities.sequence import Sequences
from medray.modalities.sequence.plan import SequencePlan
from medray.steps.variants.operation import Score
from medray.steps.variants.resolve import OPERATION, resolve
from medray.steps.variants.spec import VariantsSpec
from medray.storage.catalog.commit import Commit
from medray.storage.catalog.commits import Commits
from medray.storage.catalog.datasets import Dataset
from medray.storage.catalog.ledger import Ledger
from medray.storage.catalog.models import save_model
from medray.storage.catalog.publish import publish
from medray.storage.shards.rows import Rows
from medray.storage.shards.samples import Sample
from medray.storage.shards.writer import ShardWriter
from medray.storage.store.objects import Objects


def stored(objects: Objects, name: str, samples: list[Sample | Rows]) -> Dataset:
    """A dataset of one shard."""
    ledger = Ledger(objects, name)
    attempt = ledger.begin("u")
    writer = ShardWriter(objects, ledger.shard_path(attempt), Fasta(Fasta.Options()).arrays())
    for sample in samples:
        writer.add(sample)
    commit = ledger.commit(attempt, Commit("u", attempt.id, writer.finish(), 1, []))
    return publish(
        objects, name, kind="test", spec="", commits=Commits.of([commit]), refused=[], parents=[]
    )


def sites_of(positions: np.ndarray, refs: list[str], alts: list[str]) -> pa.Table:
    """A table of sites as the format `vcf` makes it."""
    count = len(positions)
    return pa.table(
        {
            "sample_id": [f"a.0.{n}.1" for n in range(count)],
            "file": pa.array(["a.vcf"] * count),
            "partition": np.zeros(count, np.int64),
            "line": np.arange(3, count + 3),
            "contig": pa.array(["1"] * count),
            "pos": positions,
            "ref": refs,
            "alt": alts,
            "alt_index": np.ones(count, np.int64),
            "n_alts": np.ones(count, np.int64),
        }
    )


def model(objects: Objects, length: int, filters: int) -> None:
    """A convolutional network, untrained."""
    torch.manual_seed(0)
    options = {"name": "seq_cnn", "filters": filters, "features": [2 * filters], "step": 4}
    plan = SequencePlan(
        classes=("no", "yes"),
        batch_size=8,
        frequencies=(0.5, 0.5),
        samples=8,
        length=length,
        answers="sample",
    )
    network = Sequences().build(options, plan)
    task = {"name": "classification", "classes": ["no", "yes"]}
    save_model(
        objects,
        "net",
        weights=save(dict(network.state_dict())),
        config={"model": options, "task": task, "plan": plan.model_dump(mode="json")},
        metrics={},
        parents=[],
        spec="",
        card="",
    )


def score(folder: Path, args: argparse.Namespace) -> None:
    """Ratio of the operation to the bare network."""
    objects = Objects(str(folder))
    codes = np.random.default_rng(0).integers(0, 4, CONTIG).astype(np.uint8)
    positions, refs, alts = call_set(codes, args.variants)
    row = {"contig": "1", "length": CONTIG, "sha256": "", "aliases": [], "offset": 0}
    stored(objects, "genome", [Sample("1", row, {"sequence": codes})])
    stored(objects, "sites", [Rows(sites_of(positions, refs, alts))])
    model(objects, args.length, args.filters)
    spec = VariantsSpec.model_validate(
        {
            "kind": "variants",
            "model": "net",
            "data": "sites",
            "genome": "genome",
            "batch": args.batch,
            "unit": args.unit,
            "output": "scores",
        }
    )
    resolved = resolve(spec, objects)
    planned, parameters = resolved.planned, resolved.parameters
    assert planned is not None
    bare = Score(objects, parameters)
    bare.open()
    torch.set_num_threads(args.threads)
    windows = 2 * args.variants  # positions differ: a reference and an ALT each
    tokens = torch.randint(0, 4, (args.batch, args.length), dtype=torch.uint8)
    resident = tokens.to(bare._trained.device)

    def by_network() -> float:
        started = time.perf_counter()
        for _ in range(-(-windows // args.batch)):
            answer = bare._answer(resident)
        answer.cpu()
        return time.perf_counter() - started

    rounds = [0]

    def by_medray() -> float:
        rounds[0] += 1
        receipts: list[Receipt] = []
        spec = WorkerSpec(
            OPERATION,
            parameters,
            objects,
            f"scores-{rounds[0]}",
            threads=args.threads,
        )
        started = time.perf_counter()
        run_inline(spec, planned.units, receipts.append, threading.Event())
        took = time.perf_counter() - started
        if sum(receipt.rows for receipt in receipts) != args.variants:
            raise SystemExit("rows are missing")
        return took

    seconds = interleave({"medray": by_medray, "network": by_network}, args.pairs)
    for name, took in seconds.items():
        print(f"{name:8} {windows / statistics.median(took):10,.0f} windows/s of {args.length}")
    ratio(seconds, "medray", "network")


def vcf(folder: Path, args: argparse.Namespace) -> None:
    """Records per second of the merge, alone and with compression, and of all with the index."""
    codes = np.random.default_rng(0).integers(0, 4, CONTIG).astype(np.uint8)
    positions, refs, alts = call_set(codes, args.records)
    header = b"##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
    lines = [
        f"1\t{pos}\trs{pos}\t{ref}\t{alt}\t100\tPASS\tAC=3;AF=0.012;AN=250;DP=3012"
        for pos, ref, alt in zip(positions, refs, alts, strict=True)
    ]
    path = folder / "a.vcf"
    path.write_bytes(header + "\n".join(lines).encode() + b"\n")
    rng = np.random.default_rng(1)
    rows = sites_of(positions, refs, alts)
    rows = rows.append_column("status", pa.array(["ok"] * len(rows)))
    rows = rows.append_column("diff_yes", pa.array(rng.normal(size=len(rows)).astype(np.float32)))
    keys = {"status": "MEDRAY_status", "diff_yes": "MEDRAY_diff_yes"}
    size = path.stat().st_size

    def merged() -> bytes:
        blocks = lines_of(path, "plain", 0, size, max_line=2**20)
        return b"".join(annotated(blocks, Annotations(rows, keys)))

    def written() -> None:
        blocks = lines_of(path, "plain", 0, size, max_line=2**20)
        part = bgzipped(annotated(blocks, Annotations(rows, keys)))
        out = folder / "b.vcf.gz"
        out.write_bytes(bgzipped([header]) + part + EOF_MARK)
        _write_index(out, folder / "b.vcf.gz.csi")

    def timed(action: Callable[[], Any]) -> Callable[[], float]:
        def run() -> float:
            started = time.perf_counter()
            action()
            return time.perf_counter() - started

        return run

    whole = merged()
    part = [whole]
    candidates = {
        "merge": timed(merged),
        "bgzip": timed(lambda: bgzipped(part)),
        "all": timed(written),
    }
    seconds = interleave(candidates, args.pairs)
    for name, took in seconds.items():
        rate = args.records / statistics.median(took)
        print(f"{name:8} {rate:10,.0f} records/s (load {os.getloadavg()[0]:.1f})")
    rate = args.records / statistics.median(seconds["all"]) / 1000
    print(f"annotated VCF, thousand records/s: {rate:.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["score", "vcf"])
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--variants", type=int, default=4000)
    parser.add_argument("--records", type=int, default=400_000)
    parser.add_argument("--length", type=int, default=500)
    parser.add_argument("--filters", type=int, default=64)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--unit", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        (score if args.what == "score" else vcf)(Path(folder), args)


if __name__ == "__main__":
    main()
