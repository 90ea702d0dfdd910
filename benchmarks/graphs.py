"""Networks of molecules: training beside PyTorch Geometric, prediction beside the bare network.

`train`: graphs a second through loader, network, loss and optimiser, beside the same layers of
PyTorch Geometric (`SAGEConv`, mean) with the same weights, fed by its DataLoader; needs
torch_geometric (`pip install --no-deps torch_geometric` suffices). Losses are compared by step.
Each is a process of its own, as trainings are: ours keeps freed memory, theirs gives it back, as
is the default, and in a third it keeps it, too (`kept`).

`predict`: a dataset of compounds to a committed shard of answers, by the operation that workers
run, beside the bare network over batches that stand in memory; answers are compared.

Compounds are random graphs of as many atoms as drugs have.
"""

import argparse
import functools
import multiprocessing
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
from torch import nn
from torch.nn import functional

from medray.allocator import keep_freed_memory
from medray.data.order import Order
from medray.engine.training.optimiser import build_optimiser
from medray.engine.units.inline import run_inline
from medray.engine.units.worker import Receipt, WorkerSpec
from medray.formats.molecules.graph import GRAPH
from medray.modalities.ask import ask
from medray.modalities.loaded import load_trained
from medray.modalities.molecule import MoleculeSamples
from medray.modalities.molecule.cases import MoleculeCases, MoleculeLoader
from medray.modalities.molecule.plan import MoleculePlan
from medray.spec.training import OptimiserSettings
from medray.steps.predict.resolve import OPERATION, resolve
from medray.steps.predict.spec import PredictSpec
from medray.storage.catalog.commit import Commit
from medray.storage.catalog.commits import Commits
from medray.storage.catalog.datasets import Dataset, open_dataset
from medray.storage.catalog.ledger import Ledger
from medray.storage.catalog.models import save_model
from medray.storage.catalog.publish import publish
from medray.storage.shards.reader import Shard
from medray.storage.shards.rows import EndToEnd, Rows
from medray.storage.shards.writer import ShardWriter
from medray.storage.store.objects import Objects

TOGETHER = 128  # in prediction
BATCH, MODEL = 64, {"name": "message-passing", "hidden": 128, "layers": 4, "dropout": 0.0}
TASK = {"name": "regression", "target": "value"}
OPTIMISER = OptimiserSettings(lr=1e-4, weight_decay=0)


def compounds(count: int) -> Rows:
    """Random chains with side arms and a ring each, 14 to 36 atoms."""
    generator = np.random.default_rng(0)
    sizes = generator.integers(14, 37, count)
    first = np.cumsum(sizes) - sizes
    within = np.arange(sizes.sum()) - np.repeat(first, sizes)
    inner = within > 0
    parent = np.maximum(within[inner] - generator.integers(1, 4, inner.sum()), 0)
    bonds = np.stack([parent, within[inner]], 1)
    atoms = np.zeros((sizes.sum(), 7), np.int8)
    atoms[:, 0] = generator.choice([6, 6, 6, 6, 7, 8, 9, 16], sizes.sum())
    atoms[:, 3] = generator.integers(0, 4, sizes.sum())
    features = np.ones((len(bonds), 2), np.uint8)
    table = {
        "sample_id": [f"m{number}" for number in range(count)],
        "smiles": ["C" * size for size in sizes.tolist()],
        "value": np.add.reduceat(atoms[:, 0], first).astype(np.float64),
    }
    ragged = {
        "atoms": EndToEnd(atoms, sizes),
        "bonds": EndToEnd(bonds.astype(np.uint16), sizes - 1),
        "bond_features": EndToEnd(features, sizes - 1),
    }
    return Rows(pa.table(table), ragged)


def stored(objects: Objects, rows: Rows) -> Dataset:
    """A dataset of one shard."""
    ledger = Ledger(objects, "compounds")
    attempt = ledger.begin("u")
    writer = ShardWriter(objects, ledger.shard_path(attempt), GRAPH)
    writer.add(rows)
    commit = ledger.commit(attempt, Commit("u", attempt.id, writer.finish(), 1, []))
    commits, about = Commits.of([commit]), {"kind": "test", "spec": "", "refused": []}
    return publish(objects, "compounds", commits=commits, parents=[], **about)


def planned(count: int) -> MoleculePlan:
    """The plan of an untrained network."""
    return MoleculePlan(
        answers="sample", classes=("value",), batch_size=BATCH, frequencies=(150.0, 40.0),
        samples=count, graph=True, widths={},
    )  # fmt: skip


class Theirs(nn.Module):
    """The same layers and weights, of PyTorch Geometric."""

    def __init__(self, ours: Any) -> None:
        super().__init__()
        from torch_geometric.nn import SAGEConv, global_add_pool

        self.atoms, self.head, self.pool = ours.atoms, ours.head, global_add_pool
        self.layers = nn.ModuleList()
        for layer in ours.layers:
            made = SAGEConv(*layer.own.weight.shape[::-1], aggr="mean")
            made.lin_l.load_state_dict(layer.neighbours.state_dict())
            made.lin_r.load_state_dict(layer.own.state_dict())
            self.layers.append(made)

    def forward(self, data: Any) -> torch.Tensor:
        states = functional.relu(self.atoms(data.x))
        for layer in self.layers:
            states = functional.relu(layer(states, data.edge_index))
        total = self.pool(states, data.batch, data.num_graphs)
        mean = total / data.atoms[:, None]
        return self.head(torch.cat([mean, total / 16], 1))


class Training:
    """Both trainings, in a process that is one of the candidates': ours keeps freed memory, as
    medray's loop has it, theirs has the C library's defaults.
    """

    def __init__(self, root: str) -> None:
        self.data = open_dataset(Objects(root), "compounds")
        self.plan = planned(len(self.data))
        self.cases = MoleculeCases(self.data, range(len(self.data)), self.plan)
        self.targets = torch.tensor([[row["value"] / 100] for row in self.cases.rows])
        self.order, self.steps = Order(len(self.data), BATCH, 0), len(self.data) // BATCH

    def network(self) -> Any:
        torch.manual_seed(0)
        return MoleculeSamples().build(MODEL, self.plan)

    def medray(self) -> tuple[float, list[float]]:
        keep_freed_memory()
        network = self.network()
        optimiser = build_optimiser(network, OPTIMISER)
        started = time.process_time()
        batches = MoleculeLoader(self.cases, self.order, self.targets).batches(0, self.steps)
        losses = [
            step(network, optimiser, part.inputs, part.target)
            for batch in batches
            for part in batch.parts
        ]
        return time.process_time() - started, losses

    def geometric(self) -> tuple[float, list[float]]:
        from torch_geometric.loader import DataLoader

        network, graphs = Theirs(self.network()), self.graphs
        optimiser = torch.optim.AdamW(
            network.parameters(), OPTIMISER.lr, betas=OPTIMISER.betas, weight_decay=0
        )
        started = time.process_time()
        losses = [
            step(network, optimiser, one, one.y.view(-1, 1))
            for one in DataLoader(graphs, batch_size=BATCH)
        ]
        return time.process_time() - started, losses

    def kept(self) -> tuple[float, list[float]]:
        keep_freed_memory()
        return self.geometric()

    @functools.cached_property
    def graphs(self) -> list[Any]:
        """Theirs, in the order that ours are drawn in."""
        from torch_geometric.data import Data

        made = []
        for number in range(len(self.data)):
            one = self.cases.molecules.take(np.array([number])).tree(torch.device("cpu"))
            columns = one["kinds"][one["kind"]]
            into = torch.repeat_interleave(torch.arange(len(columns)), one["degrees"])
            edges, size = (
                torch.stack([one["sources"], into]),
                torch.tensor([float(one["sizes"][0])]),
            )
            made.append(Data(x=columns, edge_index=edges, y=self.targets[number], atoms=size))
        drawn = (self.order.slice_at(number, 0, 1)[0] for number in range(self.steps))
        return [made[at] for batch in drawn for at in batch]


def step(network: nn.Module, optimiser: Any, batch: Any, wanted: torch.Tensor) -> float:
    """One of a training; its loss."""
    loss = functional.mse_loss(network(batch), wanted)
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    return float(loss.detach())


def serve(pipe: Any, root: str) -> None:
    """A candidate's process: it is sent a training's name, and sends seconds and losses."""
    torch.set_num_threads(1)
    training = Training(root)
    while name := pipe.recv():
        pipe.send(getattr(training, name)())


def train(root: str, pairs: int) -> None:
    """Ratio of graphs a second to those by PyTorch Geometric."""
    losses: dict[str, list[float]] = {}
    pipes: list[Any] = []
    context = multiprocessing.get_context("spawn")

    def candidate(name: str) -> Callable[[], float]:
        ours, theirs = context.Pipe()
        context.Process(target=serve, args=(theirs, root), daemon=True).start()
        pipes.append(ours)

        def run() -> float:
            ours.send(name)
            took, losses[name] = ours.recv()
            return took

        return run

    candidates = {name: candidate(name) for name in ("medray", "geometric", "kept")}
    seconds = interleave(candidates, pairs)
    for pipe in pipes:
        pipe.send("")
    np.testing.assert_allclose(losses["medray"], losses["geometric"], rtol=1e-2)
    for name, took in seconds.items():
        graphs = len(losses[name]) * BATCH
        print(f"{name:10} {graphs / statistics.median(took):8,.0f} graphs/s trained")
    ratio(seconds, "medray", "geometric")
    ratio(seconds, "medray", "kept")


def predict(objects: Objects, data: Dataset, pairs: int) -> None:
    """Ratio of the operation to the bare network."""
    plan, modality = planned(len(data)), MoleculeSamples()
    torch.manual_seed(0)
    save_model(
        objects, "net", weights=save(dict(modality.build(MODEL, plan).state_dict())),
        config={"model": MODEL, "task": TASK, "plan": plan.model_dump(mode="json")},
        metrics={}, parents=[], spec="", card="",
    )  # fmt: skip
    net = load_trained(objects, "net", torch.device("cpu"))
    cases = MoleculeCases(data, range(len(data)), plan)
    batches = [
        cases.molecules.take(np.arange(at, min(at + TOGETHER, len(data)))).tree(torch.device("cpu"))
        for at in range(0, len(data), TOGETHER)
    ]
    answers: dict[str, np.ndarray] = {}

    def bare() -> float:
        started = time.process_time()
        made = [ask(net.network, one, net.task, "fp32") for one in batches]
        answers["bare"] = np.concatenate(made)[:, 0]
        return time.process_time() - started

    number = 0

    def operation() -> float:
        nonlocal number
        number += 1
        name = f"answers{number}"
        told = {"kind": "predict", "model": "net", "data": "compounds", "output": name}
        resolved = resolve(PredictSpec.model_validate(told), objects, lambda *_: name)
        spec = WorkerSpec(OPERATION, resolved.parameters, objects, name)
        receipts: list[Receipt] = []
        started = time.process_time()
        run_inline(spec, resolved.planned.units, receipts.append, threading.Event())
        took = time.process_time() - started
        (commit,) = (Ledger(objects, name).look(one.unit)[0] for one in receipts)
        answers["medray"] = np.asarray(Shard(objects, commit.shard.pinned).table["predicted"])
        return took

    seconds = interleave({"medray": operation, "bare": bare}, pairs)
    np.testing.assert_allclose(answers["medray"], answers["bare"], rtol=1e-4)
    for name, took in seconds.items():
        print(f"{name:10} {len(data) / statistics.median(took):8,.0f} graphs/s answered")
    ratio(seconds, "medray", "bare")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="*", default=["train", "predict"])
    parser.add_argument("--compounds", type=int, default=8192)
    parser.add_argument("--pairs", type=int, default=5)
    args = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        objects = Objects(str(Path(folder)))
        data = stored(objects, compounds(args.compounds))
        if "train" in args.what:
            train(folder, args.pairs)
        if "predict" in args.what:
            predict(objects, data, args.pairs)


if __name__ == "__main__":
    main()
