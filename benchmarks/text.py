"""Entities found in documents beside the bare network on batches that are made already.

Sentences of the corpus of diseases (MEDRAY_DATA), given over and over, stand in a shard; a network
of `jobs/ner.yaml`'s size with weights of some steps answers them. `medray` is the engine's worker,
from the shard to committed spans: reading, tokens, batches, the network, the best path of tags,
offsets, writing. `bare` is the network and the best path alone, on all batches, which are in
memory. Seconds are CPU time of the whole process, one thread, after a round that does not count.
"""

import argparse
import os
import shutil
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import torch
from pairs import interleave, ratio

from medray.allocator import keep_freed_memory
from medray.engine.units.inline import run_inline
from medray.engine.units.worker import Receipt, WorkerSpec
from medray.jobs.run import run
from medray.modalities.ask import ask
from medray.modalities.loaded import load_trained
from medray.modalities.text.predictor import TOGETHER
from medray.modalities.text.readings import reading_of
from medray.steps.base.planned import plan_shards
from medray.steps.predict.resolve import OPERATION
from medray.storage.catalog.datasets import open_dataset
from medray.storage.store.objects import Objects

OPTIONS = {"batch": 1, "precision": "fp32", "held_out": False, "options": {}}


def prepared(root: Path, copies: int) -> Objects:
    """The model, and a dataset of so many copies of the training sentences."""
    objects, raw = Objects(str(root / "store")), root / "raw"
    raw.mkdir()
    source = Path(os.environ["MEDRAY_DATA"]) / "text/ner_ncbi_disease"
    (raw / "a.tsv").write_text((source / "train.tsv").read_text() * copies)
    ingest = {"kind": "ingest", "format": {"name": "conll", "phi": {"method": "none"}}}
    train = {
        "epochs": 1, "batch_size": 16, "threads": 1, "steps_per_epoch": 150, "clip_norm": 5,
        "optimiser": {"lr": 1e-2},
    }  # fmt: skip  # enough to find spans
    steps = [
        {**ingest, "source": str(source), "output": "learnt"},
        {
            "kind": "train", "data": "learnt", "select": {}, "validation": {}, "output": "net",
            "task": {"name": "ner", "types": ["Disease"]}, "model": {"name": "bilstm-crf"},
            "train": train,
        },
        {**ingest, "source": str(raw), "output": "texts"},
    ]  # fmt: skip
    run(steps, storage=objects, cluster="inline")
    return objects


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--copies", type=int, default=4, help="of 5,424 sentences")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    with tempfile.TemporaryDirectory() as scratch:
        objects = prepared(Path(scratch), args.copies)
        data, net = open_dataset(objects, "texts"), load_trained(objects, "net")
        reading = reading_of(net.plan, net.task)
        rows = data.samples.to_pylist()
        encoded = [reading.encode(row, learnt=False) for row in rows]
        encoded = [encoded[at] for at in np.argsort([len(one) for one in encoded], kind="stable")]
        size = TOGETHER["cpu"]
        batches = [
            reading.inputs(encoded[at : at + size], net.device)
            for at in range(0, len(encoded), size)
        ]

        def bare() -> float:
            start = time.process_time()
            for batch in batches:
                ask(net.network, batch, net.task, "fp32")
            return time.process_time() - start

        planned = plan_shards(data, "predict", identity={}, select={})

        def medray() -> float:
            spec = WorkerSpec(OPERATION, OPTIONS | {"model": "net"}, objects, "found")
            receipts: list[Receipt] = []
            start = time.process_time()
            run_inline(spec, planned.units, receipts.append, threading.Event())
            took = time.process_time() - start
            if any(one.state != "committed" or one.quarantined for one in receipts):
                raise SystemExit(f"not all committed: {receipts}")
            shutil.rmtree(Path(scratch) / "store/datasets/found")
            return took

        seconds = interleave({"medray": medray, "bare": bare}, args.rounds)
        for name, took in seconds.items():
            print(f"{name}: {len(rows) / min(took):.0f} documents a second")
        ratio(seconds, "medray", "bare")


if __name__ == "__main__":
    main()
