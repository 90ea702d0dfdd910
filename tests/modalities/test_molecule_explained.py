"""Attributions of atoms add up to the answer; predictions have them, and pages draw them."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from medray.errors import SpecError
from medray.jobs.run import run
from medray.modalities.base import Trained
from medray.modalities.loaded import load_model, load_trained
from medray.modalities.molecule import MoleculeSamples
from medray.modalities.molecule.cases import MoleculeCases, Molecules
from medray.modalities.molecule.explain import CLOSE, explain, explains
from medray.modalities.molecule.plan import MoleculePlan
from medray.models import MODELS, model_options
from medray.storage.catalog.datasets import Dataset, open_dataset
from medray.storage.shards.samples import Sample
from medray.storage.store.objects import Objects
from medray.tasks import build_task
from medray.tasks.section import Section
from tests.modalities.test_molecule import job
from tests.molecules import molecules

Make = Callable[[str, list[Sample]], Dataset]
CPU = torch.device("cpu")
CLASSES = {"name": "classification", "classes": ["a", "b", "c"]}


def trained(model: dict[str, Any], task: dict[str, Any]) -> Trained:
    """A network with random weights, that are large enough to bend."""
    made = build_task(task)
    plan = MoleculePlan(
        answers="sample", classes=made.classes, batch_size=4, frequencies=(2.0, 3.0), samples=12,
        graph=True, widths={},
    )  # fmt: skip
    torch.manual_seed(0)
    built = build_task(task, plan.frequencies if task["name"] == "regression" else None)
    kind = MODELS.get(model["name"])
    network = kind.build(model_options(model, widths={}), 1, len(made.classes), None).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter *= 2
    return Trained(MoleculeSamples(), network, built, plan, CPU, "net@1")


def some(make_dataset: Make, net: Trained) -> Molecules:
    return MoleculeCases(make_dataset("some", molecules(9)), range(9), net.plan).molecules


@pytest.mark.parametrize("task", [{"name": "regression"}, CLASSES], ids=lambda one: one["name"])
@pytest.mark.parametrize("name", ["message-passing", "dmpnn"])
def test_attributions_add_up_to_the_answer(
    make_dataset: Make, name: str, task: dict[str, Any]
) -> None:
    net = trained({"name": name, "hidden": 16, "layers": 3}, task)
    cases = some(make_dataset, net)
    values = [at % len(net.task.classes) for at in range(9)]
    found = explain(net, cases, values)
    with torch.no_grad():
        answers = net.task.probabilities(net.network(cases.tree(CPU)))
    wanted = answers[torch.arange(9), torch.tensor(values)].numpy()
    assert found.answers == pytest.approx(wanted, abs=1e-5)
    assert cases.graphs is not None
    assert [len(one) for one in found.atoms] == cases.graphs.sizes.tolist()
    sums = np.array([one.sum() for one in found.atoms])
    difference = found.answers - found.blanks
    assert np.abs(difference).max() > 0.1
    # The mean over atoms is among what is read: a sum that forgot it, or the number of points on
    # the path, would be off by that.
    sizes = np.array([np.abs(one).sum() for one in found.atoms])
    assert np.all(np.abs(sums - difference) <= CLOSE * sizes)


def test_of_a_sum_over_atoms_each_has_its_own_part(make_dataset: Make) -> None:
    net = trained({"name": "dmpnn", "hidden": 8, "layers": 2}, {"name": "regression"})
    cases = some(make_dataset, net)
    together = explain(net, cases, [0] * 9)
    alone = explain(net, cases.take(np.array([4])), [0])
    # What a compound's atoms are worth does not hang on the others, but for the points of the path.
    scale = np.abs(alone.atoms[0]).max()
    assert together.atoms[4] == pytest.approx(alone.atoms[0], abs=0.02 * scale)


def test_fingerprints_have_no_atoms_to_explain() -> None:
    assert not explains(trained({"name": "fingerprint-mlp"}, {"name": "regression"}).network)


def explained(objects: Objects, make_dataset: Make, **more: Any) -> list[dict[str, Any]]:
    """Rows of predictions of a compound of three atoms, and others."""
    samples = molecules(48)
    samples[3].arrays |= {
        "atoms": np.array(
            [[8, 1, 0, 1, 0, 0, 0], [6, 2, 0, 2, 0, 0, 0], [6, 1, 0, 3, 0, 0, 0]], np.int8
        ),
        "bonds": np.array([[0, 1], [1, 2]], np.uint16),
        "bond_features": np.ones((2, 2), np.uint8),
    }
    samples[3].row |= {"canonical": "CCO", "smiles": "OCC"}
    make_dataset("molecules", samples)
    steps = job({"name": "regression"}, {"name": "dmpnn", "hidden": 8, "layers": 2})
    steps[0] |= more
    steps[1] |= {"options": {"attributions": True, "nearest": True}}
    run(steps, storage=objects, cluster="inline")
    return open_dataset(objects, "found").samples.to_pylist()


def test_predictions_have_attributions_and_the_page_draws_them(
    objects: Objects, make_dataset: Make
) -> None:
    rows = explained(objects, make_dataset)
    net, data = load_trained(objects, "net"), open_dataset(objects, "molecules")
    cases = MoleculeCases(data, data.select({"split": "test"}), net.plan).molecules
    wanted = explain(net, cases, [0] * len(rows))
    for row, atoms in zip(rows, wanted.atoms, strict=True):
        scale = 0.02 * np.abs(atoms).sum()  # less points on the path, where others are easier
        assert row["attributions"] == pytest.approx(atoms.tolist(), abs=scale)
        assert row.keys() >= {"predicted", "nearest"}
    found = open_dataset(objects, "found")
    task = build_task(found.attributes["task"])
    (picture,) = MoleculeSamples().illustrate(Section("s"), task, data, found).pictures
    assert [name for name, _ in picture.legend] == ["raises the answer", "lowers it"]
    ((_, panel),) = picture.panels  # nothing else has a SMILES
    assert b"#D6604D" in panel or b"#4393C3" in panel  # the strongest atom


def test_of_folds_attributions_are_averaged(objects: Objects, make_dataset: Make) -> None:
    select = {"split": ["train", "val"]}
    rows = explained(objects, make_dataset, select=select, folds="fold")
    model, data = load_model(objects, "net"), open_dataset(objects, "molecules")
    chosen = data.select({"split": "test"})
    each = [
        explain(one, MoleculeCases(data, chosen, one.plan).molecules, [0] * len(chosen)).atoms
        for one in model.members.values()
    ]
    for at, row in enumerate(rows):
        mean = np.mean([one[at] for one in each], axis=0)
        assert row["attributions"] == pytest.approx(mean.tolist(), abs=0.05 * np.abs(mean).sum())


def test_what_reads_no_atoms_is_refused(objects: Objects, make_dataset: Make) -> None:
    make_dataset("molecules", molecules(48))
    steps = job({"name": "regression"}, {"name": "fingerprint-mlp"}, epochs=1)
    steps[1] |= {"options": {"attributions": True}}
    with pytest.raises(SpecError) as caught:
        run(steps, storage=objects, cluster="inline")
    assert "no-attributions" in str(caught.value)
