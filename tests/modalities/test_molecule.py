"""Molecules to a network and back: plans, batches, predictions, floors, missing targets."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from medray.data.batch import Part
from medray.data.order import Order
from medray.errors import MedrayError
from medray.jobs.run import run
from medray.modalities.base import Asking
from medray.modalities.graphs import Graphs
from medray.modalities.loaded import load_model, load_trained
from medray.modalities.lot import Lot
from medray.modalities.molecule import MoleculeSamples, predictor
from medray.modalities.molecule.cases import MoleculeCases, MoleculeLoader
from medray.modalities.molecule.design import COLUMNS, environments
from medray.modalities.molecule.plan import MoleculePlan, MoleculePredictOptions
from medray.storage.catalog.datasets import Dataset, open_dataset
from medray.storage.catalog.models import open_model
from medray.storage.shards.samples import Sample
from medray.storage.shards.stored import InShard
from medray.storage.store.objects import Objects
from tests.molecules import molecules, turned

Make = Callable[[str, list[Sample]], Dataset]
CPU = torch.device("cpu")
TRAIN = {"epochs": 3, "batch_size": 8, "checkpoint_every": 1000, "threads": 1}


def job(task: dict[str, Any], model: dict[str, Any], **train: Any) -> list[dict[str, Any]]:
    return [
        {
            "kind": "train", "data": "molecules", "task": task, "model": model, "output": "net",
            "train": {**TRAIN, **train},
        },
        {
            "kind": "predict", "model": "net", "data": "molecules", "select": {"split": "test"},
            "batch": 7, "output": "found",
        },
        {
            "kind": "evaluate", "predictions": "found", "data": "molecules", "output": "scores",
            "bootstrap": 20,
        },
    ]  # fmt: skip


def plan(**beside: int) -> MoleculePlan:
    return MoleculePlan(
        answers="sample", classes=("value",), batch_size=4, frequencies=(0.0, 1.0), samples=12,
        graph=True, widths=beside,
    )  # fmt: skip


def test_stored_molecules_come_back_in_the_order_asked_for(make_dataset: Make) -> None:
    samples = molecules(12)
    cases = MoleculeCases(make_dataset("molecules", samples), [7, 2, 11], plan(fingerprint=2048))
    assert [row["sample_id"] for row in cases.rows] == ["m007", "m002", "m011"]
    chosen = np.array([2, 0])
    batch = cases.molecules.take(chosen).tree(CPU)
    wanted = [samples[11].arrays, samples[7].arrays]
    columns = np.concatenate([one["atoms"] for one in wanted])
    assert np.array_equal(batch["kinds"][batch["kind"]], columns)
    assert len(batch["kinds"]) == len(np.unique(columns, axis=0))
    assert batch["sizes"].tolist() == [len(one["atoms"]) for one in wanted]
    assert np.array_equal(batch["bits"], np.concatenate([one["fingerprint"] for one in wanted]))
    # Each directed bond, from source to the atom that holds it, is a stored one; so is its reverse.
    into = np.repeat(np.arange(len(batch["kind"])), batch["degrees"])
    edges = list(zip(batch["sources"].tolist(), into.tolist(), strict=True))
    found, first = set(), 0
    for one in wanted:
        for (u, v), about in zip(
            one["bonds"].astype(int) + first, one["bond_features"], strict=True
        ):
            found |= {(u, v, *about.tolist()), (v, u, *about.tolist())}
        first += len(one["atoms"])
    told = [(*edge, *about) for edge, about in zip(edges, batch["bonds"].tolist(), strict=True)]
    assert set(told) == found
    assert len(told) == len(found)
    assert [edges[at] for at in batch["reverse"].tolist()] == [(v, u) for u, v in edges]


def atoms(part: Part) -> torch.Tensor:
    return part.inputs["kinds"][part.inputs["kind"]]


def test_parts_of_a_batch_hold_whole_molecules(make_dataset: Make) -> None:
    cases = MoleculeCases(make_dataset("molecules", molecules(12)), range(12), plan())
    targets = torch.arange(12.0)[:, None]
    order = Order(12, 5, 0)
    (whole,) = MoleculeLoader(cases, order, targets).batch(1).parts
    parts = MoleculeLoader(cases, order, targets, parts=3).batch(1).parts
    assert len(parts) == 3
    assert torch.equal(torch.cat([one.target for one in parts]), whole.target)
    assert torch.equal(torch.cat([atoms(one) for one in parts]), atoms(whole))
    ranks = [MoleculeLoader(cases, order, targets, share=(at, 2)).batch(1) for at in (0, 1)]
    shares = [part.target for batch in ranks for part in batch.parts]
    assert torch.equal(torch.cat(shares), whole.target)


def test_a_graph_that_is_none_is_refused() -> None:
    atoms, features = np.zeros((3, 7), np.int8), np.ones((1, 2), np.uint8)
    with pytest.raises(MedrayError) as raised:
        Graphs.of(
            atoms, np.array([2, 1]), np.array([[0, 2]], np.uint16), np.array([1, 0]), features
        )
    assert raised.value.code == "bad-graph"


def test_environments_are_counted_whatever_the_order_of_atoms() -> None:
    def counted(one: dict[str, np.ndarray]) -> np.ndarray:
        sizes, counts = np.array([len(one["atoms"])]), np.array([len(one["bonds"])])
        graphs = Graphs.of(one["atoms"], sizes, one["bonds"], counts, one["bond_features"])
        return environments(graphs)[0]

    generator = np.random.default_rng(0)
    seen = []
    for sample in molecules(10):
        one = {name: np.asarray(array) for name, array in sample.arrays.items()}
        found = counted(one)
        size = len(one["atoms"])
        assert found.shape == (COLUMNS,)
        assert found.sum() == 3 * size  # of radius 0, 1 and 2 one for each atom
        assert np.array_equal(counted(turned(one, generator.permutation(size))), found)
        seen.append(found)
    assert len(np.unique(seen, axis=0)) == len(seen)
    assert set(np.argmax(seen[0] > 0, keepdims=True)) <= set(range(COLUMNS))


@pytest.mark.parametrize(
    "model",
    [
        {"name": "message-passing", "hidden": 16, "layers": 2, "beside": ["descriptors"]},
        {"name": "dmpnn", "hidden": 16, "layers": 2, "beside": ["fingerprint"]},
        {"name": "fingerprint-mlp", "hidden": 16},
    ],
)
def test_a_regression_from_data_to_scores(
    objects: Objects, make_dataset: Make, model: dict[str, Any]
) -> None:
    samples = molecules(120)
    make_dataset("molecules", samples)
    steps = job({"name": "regression", "target": "value"}, model)
    trained, predicted, scored = run(steps, storage=objects, cluster="inline").steps
    found = open_dataset(objects, predicted.output).samples
    assert found["sample_id"].to_pylist() == [
        one.id for one in samples if one.row["split"] == "test"
    ]
    # What is answered seven at a time is what the network says of each alone.
    net = load_trained(objects, "net")
    data = open_dataset(objects, "molecules")
    one = data.select({"split": "test"})[5]
    cases = MoleculeCases(data, [one], net.plan)
    with torch.no_grad():
        alone = net.task.probabilities(net.network(cases.molecules.tree(CPU)))
    assert found["predicted"][5].as_py() == pytest.approx(float(alone), abs=1e-5)
    assert {"rmse", "baseline_rmse", "baseline-random-forest_rmse"} <= scored.metrics.keys()
    assert scored.metrics["baseline-random-forest_rmse"] < 1.5  # of values with a deviation of 1.9
    assert "baseline-random-forest_r2" in trained.metrics
    assert "molecules: " in open_model(objects, "net").read("card.md").decode()


def test_descriptors_are_scaled_by_the_training_samples(make_dataset: Make) -> None:
    from medray.modalities.plan import PlanOptions, Wanted
    from medray.spec.training import TrainSettings
    from medray.tasks import build_task

    data = make_dataset("molecules", molecules(40))
    task = build_task({"name": "regression", "target": "value"})
    model = {"name": "message-passing", "beside": ["descriptors", "fingerprint"]}
    wanted = Wanted(model, TrainSettings(), PlanOptions())
    learnt = list(range(0, 40, 2))
    made = MoleculeSamples().plan(data, learnt, task, wanted)
    assert made.widths == {"fingerprint": 2048, "descriptors": 9}
    known = np.array([data.sample(at).arrays["descriptors"] for at in learnt])
    assert made.descriptors is not None
    assert made.descriptors.median[1] == pytest.approx(float(np.nanmedian(known[:, 1])))
    scaled = MoleculeCases(data, learnt, made).molecules.descriptors
    assert scaled is not None
    assert np.allclose(scaled.mean(0), 0, atol=1e-5)
    assert np.allclose(scaled.std(0), 1, atol=1e-5)


def test_what_a_network_reads_has_to_be_there(objects: Objects, make_dataset: Make) -> None:
    samples = molecules(40)
    for one in samples:
        del one.arrays["descriptors"]
    make_dataset("molecules", samples)
    model = {"name": "message-passing", "beside": ["descriptors"]}
    with pytest.raises(MedrayError) as raised:
        run(job({"name": "regression"}, model)[:1], storage=objects, cluster="inline")
    assert raised.value.code == "model-mismatch"
    assert "descriptors: true" in str(raised.value.hint)


def test_missing_labels_teach_and_count_nothing(objects: Objects, make_dataset: Make) -> None:
    samples = molecules(120, targets=3)
    samples[3].row |= {f"label{at}": None for at in range(3)}
    make_dataset("molecules", samples)
    labels = [f"label{at}" for at in range(3)]
    task = {"name": "classification", "classes": labels, "target": labels, "multi_label": True}
    model = {"name": "message-passing", "hidden": 16, "layers": 2}
    trained, predicted, scored = run(job(task, model), storage=objects, cluster="inline").steps
    assert {"val_auc", "baseline_auc", "baseline-random-forest_auc"} <= trained.metrics.keys()
    summary = open_dataset(objects, scored.output).attributes["summary"]
    rows = {row["sample_id"]: row for row in open_dataset(objects, "molecules").samples.to_pylist()}
    found = open_dataset(objects, predicted.output).samples.to_pylist()
    from sklearn.metrics import roc_auc_score

    for at, label in enumerate(labels):
        truth = [rows[row["sample_id"]][label] for row in found]
        known = [
            (t, row["probability"][at])
            for t, row in zip(truth, found, strict=True)
            if t is not None
        ]
        area = roc_auc_score(*zip(*known, strict=True))
        assert summary["classes"][label]["auroc"]["value"] == pytest.approx(area)
        assert summary["classes"][label]["auroc"]["cases"] == len(known) < len(found)
    assert summary["baselines"]["random-forest"]["auroc"] > 0.6


def test_folds_answer_what_they_held_out_and_the_mean_of_them_what_none_has_seen(
    objects: Objects, make_dataset: Make
) -> None:
    samples = molecules(60)
    make_dataset("molecules", samples)
    make_dataset("others", molecules(20, seed=9))
    steps = job({"name": "regression"}, {"name": "message-passing", "hidden": 8, "layers": 1})
    steps[0] |= {"select": {"split": ["train", "val"]}, "folds": "fold"}
    steps[1] |= {"select": {"split": "val"}}
    unseen = {**steps[1], "select": {"split": "test"}, "output": "unseen"}
    others = {**steps[1], "data": "others", "select": {}, "output": "mean"}
    scored = {**steps[2], "predictions": "unseen"}
    made = run([*steps[:2], unseen, others, scored], storage=objects, cluster="inline").steps
    assert made[-1].metrics["baseline-random-forest_rmse"] < 2
    model = load_model(objects, "net")
    data = {name: open_dataset(objects, name) for name in ("molecules", "others")}

    def answered(member: int, name: str) -> np.ndarray:
        net = model.members[member]
        cases = MoleculeCases(data[name], range(len(data[name])), net.plan)
        with torch.no_grad():
            return net.task.probabilities(net.network(cases.molecules.tree(CPU))).numpy()[:, 0]

    each = {fold: answered(fold, "molecules") for fold in range(3)}
    for row in open_dataset(objects, "found").samples.to_pylist():
        wanted = each[row["fold"]][int(row["sample_id"][1:])]
        assert row["predicted"] == pytest.approx(wanted, abs=1e-5)
    for row in open_dataset(objects, "unseen").samples.to_pylist():
        wanted = np.mean([one[int(row["sample_id"][1:])] for one in each.values()])
        assert row["predicted"] == pytest.approx(wanted, abs=1e-5)
    found = open_dataset(objects, "mean").samples
    assert found["sample_id"].to_pylist() == data["others"].samples["sample_id"].to_pylist()
    wanted = np.mean([answered(fold, "others") for fold in range(3)], axis=0)
    assert np.allclose(found["predicted"], wanted, atol=1e-5)


def test_rows_are_answered_in_the_order_asked_for(
    objects: Objects, make_dataset: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predictor, "TOGETHER", {"cpu": 4})
    data = make_dataset("molecules", molecules(30))
    steps = job({"name": "regression"}, {"name": "dmpnn", "hidden": 8, "layers": 2})
    run(steps[:1], storage=objects, cluster="inline")
    asked = predictor.MoleculePredictor(
        load_trained(objects, "net"), Asking(MoleculePredictOptions())
    )
    shard = data.shards[0]
    whole = asked.of_shard(Lot(shard, np.arange(30)))
    some = np.array([17, 3, 29, 4, 16, 0])
    assert np.allclose(asked.of_shard(Lot(shard, some)), whole[some], atol=1e-6)
    one = asked.answers([asked.prepare(InShard(shard, 17), 1)])
    assert np.allclose(one[0], whole[17], atol=1e-6)
