"""Pairs to a network and back: each half once in memory and in a batch, plans, floors, requests."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from medray.data.order import Order
from medray.errors import DataError, MedrayError
from medray.formats.molecules.residues import RESIDUES
from medray.jobs.run import run
from medray.modalities.base import Asking
from medray.modalities.loaded import load_trained
from medray.modalities.media import JSON
from medray.modalities.pair.cases import PairCases, PairLoader, gather
from medray.modalities.pair.design import design
from medray.modalities.pair.wire import PairWire
from medray.modalities.wire import Limits
from medray.storage.catalog.datasets import Dataset, open_dataset
from medray.storage.catalog.models import open_model
from medray.storage.shards.samples import Sample
from medray.storage.shards.stored import InMemory
from medray.storage.store.objects import Objects
from tests.pairs import pairs

Make = Callable[[str, list[Sample]], Dataset]
CPU = torch.device("cpu")
MODEL = {"name": "dual-encoder", "filters": [8, 8], "width": 16, "head": [16],
         "compound": {"name": "message-passing", "hidden": 8, "layers": 2}}  # fmt: skip


def halves(found: Any, row: int) -> tuple[bytes, bytes]:
    """Atoms and residues of a pair."""
    one = found.take(np.array([row]))
    return one.graphs.atoms.tobytes(), one.residues.tobytes()


def test_stored_pairs_come_back_with_both_halves(make_dataset: Make) -> None:
    samples = pairs(4, 3)
    data = make_dataset("pairs", samples)
    found = gather(data, [7, 2, 11, 5])
    assert len(found.lengths) == 2  # 7 = (2, 1); 2, 11 and 5 are with the third protein
    assert len(found.graphs) == 4
    for row, number in enumerate([7, 2, 11, 5]):
        c, p = divmod(number, 3)
        atoms = np.asarray(samples[3 * c].arrays["compound_atoms"]).tobytes()
        assert halves(found, row) == (atoms, np.asarray(samples[p].arrays[RESIDUES]).tobytes())


def test_a_half_that_is_nowhere_is_named(make_dataset: Make) -> None:
    data = make_dataset("pairs", pairs(3, 3)[3:])  # without the rows that hold the proteins
    with pytest.raises(DataError, match="lacks-half-a-pair"):
        gather(data, [0])


def test_batches_have_few_proteins_and_whole_pairs(make_dataset: Make) -> None:
    cases = PairCases(make_dataset("pairs", pairs(20, 40)), range(800))
    targets = torch.arange(800.0)[:, None]
    order = Order(800, 50, 0)
    loader = PairLoader(cases, order, targets, 60)
    seen = []
    for step in range(16):
        (part,) = loader.batch(step).parts
        assert part.inputs["residues"].shape[0] <= 6  # of 40; drawn as they come some 28
        assert part.inputs["residues"].shape[1] <= 60
        seen += part.target[:, 0].int().tolist()
        for at in (0, 49):
            row = int(part.target[at, 0])
            number = int(part.inputs["protein"][at])
            letters = part.inputs["residues"][number].numpy()
            wanted = np.frombuffer(halves(cases.pairs, row)[1], np.uint8)[:60] - 64
            assert letters[: len(wanted)].tolist() == wanted.tolist()
            assert not letters[len(wanted) :].any()
    assert sorted(seen) == list(range(800))
    parts = PairLoader(cases, order, targets, 60, parts=3).batch(3).parts
    (whole,) = loader.batch(3).parts
    assert torch.equal(torch.cat([one.target for one in parts]), whole.target)


def test_design_names_halves_alike_everywhere(make_dataset: Make) -> None:
    found = design(make_dataset("pairs", pairs(3, 4)), range(12))
    assert len(np.unique(found[:, :2], axis=0)) == 3
    assert len(np.unique(found[:, 2:], axis=0)) == 4
    other = design(make_dataset("others", pairs(3, 4)[4:]), range(8))
    assert np.array_equal(other, found[4:])


def test_affinities_from_data_to_scores(objects: Objects, make_dataset: Make) -> None:
    samples = pairs(12, 15)
    data = make_dataset("pairs", samples)
    steps = [
        {
            "kind": "train", "data": "pairs", "task": {"name": "regression", "target": "affinity"},
            "model": MODEL, "output": "net", "plan": {"residues": 70},
            "train": {"epochs": 40, "batch_size": 24, "checkpoint_every": 1000, "threads": 1},
        },
        {"kind": "predict", "model": "net", "data": "pairs", "select": {"split": "test"},
         "output": "found"},
        {"kind": "evaluate", "predictions": "found", "data": "pairs", "output": "scores",
         "bootstrap": 20},
    ]  # fmt: skip
    trained, predicted, scored = run(steps, storage=objects, cluster="inline").steps
    found = open_dataset(objects, predicted.output).samples
    chosen = data.select({"split": "test"})
    assert found["sample_id"].to_pylist() == [samples[at].id for at in chosen]
    net = load_trained(objects, "net")
    alone = gather(data, chosen[4:5]).tree(70, CPU)
    with torch.no_grad():
        value = float(net.task.probabilities(net.network(alone)))
    assert found["predicted"][4].as_py() == pytest.approx(value, abs=1e-5)
    assert {"ci", "mse", "baseline-additive_ci", "baseline-additive_mse"} <= scored.metrics.keys()
    assert not {"baseline_ci", "baseline-ridge_ci"} & scored.metrics.keys()
    assert scored.metrics["ci"] > 0.7
    assert "baseline-additive_r2" in trained.metrics
    assert "70 residues" in open_model(objects, "net").read("card.md").decode()


def test_what_is_no_pair_is_refused(objects: Objects, make_dataset: Make) -> None:
    from tests.molecules import molecules

    make_dataset("molecules", molecules(12))
    step = {"kind": "train", "data": "molecules", "model": MODEL, "output": "net",
            "task": {"name": "regression"}}  # fmt: skip
    with pytest.raises(MedrayError, match=r"compound_atoms \[model-mismatch"):
        run([step], storage=objects, cluster="inline")


def test_a_request_is_answered_as_in_bulk(objects: Objects, tmp_path: Path) -> None:
    rows = [("CCO", "MKVLAAGIW"), ("c1ccccc1O", "GGSTYR"), ("CCO", "GGSTYR"), ("CC(N)=O", "MKV")]
    text = "\n".join(f"{a},{b},{at / 3}" for at, (a, b) in enumerate(rows))
    (tmp_path / "a.csv").write_text(f"smiles,sequence,affinity\n{text}\n")
    steps = [
        {"kind": "ingest", "format": {"name": "pairs", "scale": "p"}, "source": str(tmp_path),
         "output": "pairs"},
        {"kind": "train", "data": "pairs", "select": {}, "validation": {}, "model": MODEL,
         "task": {"name": "regression", "target": "affinity"}, "output": "net",
         "train": {"epochs": 2, "batch_size": 4, "threads": 1}},
        {"kind": "predict", "model": "net", "data": "pairs", "output": "found"},
    ]  # fmt: skip
    run(steps, storage=objects, cluster="inline")
    net = load_trained(objects, "net")
    wire = PairWire(net.plan.model_dump())
    limits = Limits(decoded_bytes=2**20)
    body = json.dumps([{"smiles": a, "sequence": b.lower()} for a, b in rows]).encode()
    asked = wire.read(body, JSON, limits)
    assert asked.many
    predictor = net.modality.predictor(net, Asking(net.modality.PredictOptions()))
    prepared = [predictor.prepare(InMemory(one), 4) for one in asked.samples]
    answers = [one.row["predicted"] for one in predictor.compute(prepared)]
    bulk = open_dataset(objects, "found").samples["predicted"].to_pylist()
    assert answers == pytest.approx(bulk, abs=1e-5)
    for one, code in (
        ({"smiles": "CCO"}, "bad-json"),
        ({"smiles": "CCO", "sequence": "M1"}, "no-residues"),
        ({"smiles": "C(", "sequence": "MKV"}, "unreadable"),
        ({"smiles": "CCO", "sequence": "MKV" * 400_000}, "too-large"),
    ):
        with pytest.raises(DataError) as caught:
            wire.read(json.dumps(one).encode(), JSON, limits)
        assert caught.value.code == code
