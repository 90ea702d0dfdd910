"""Networks of molecules: held to their formulas, written densely; no answer hangs on the batch."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from medray.modalities.molecule.cases import Molecules, packed
from medray.models import MODELS, model_options
from medray.models.base import Network
from medray.models.molecule.base import Around, neighbour_mean, sums
from medray.models.molecule.message_passing import MeanLayer
from tests.molecules import molecules, turned

NAMES = ["atoms", "bonds", "bond_features", "fingerprint", "descriptors"]
NETWORKS: list[dict[str, Any]] = [
    {"name": "message-passing", "hidden": 12, "layers": 3},
    {"name": "message-passing", "hidden": 8, "layers": 2, "readout": "mean"},
    {"name": "dmpnn", "hidden": 12, "layers": 3, "readout": "sum"},
    {"name": "dmpnn", "hidden": 8, "beside": ["fingerprint", "descriptors"]},
    {"name": "fingerprint-mlp", "hidden": 16, "head": [8]},
    {"name": "fingerprint-mlp", "beside": ["descriptors"]},
]


def of(arrays: list[dict[str, np.ndarray]]) -> Molecules:
    parts = {name: [one[name] for one in arrays] for name in NAMES}
    parts["descriptors"] = [np.nan_to_num(one) for one in parts["descriptors"]]
    ends = {n: (np.concatenate(p), np.array([len(one) for one in p])) for n, p in parts.items()}
    return packed(ends, "test")


def some(count: int = 9) -> list[dict[str, np.ndarray]]:
    return [{n: np.asarray(a) for n, a in one.arrays.items()} for one in molecules(count)]


def tree(arrays: list[dict[str, np.ndarray]]) -> Any:
    return of(arrays).tree(torch.device("cpu"))


def built(model: dict[str, Any]) -> Network:
    torch.manual_seed(0)
    options = model_options(model, widths={"fingerprint": 2048, "descriptors": 9})
    return MODELS.get(model["name"]).build(options, 1, 3, None).eval()


def adjacency(arrays: list[dict[str, np.ndarray]]) -> Tensor:
    """Of all atoms together, dense."""
    size = sum(len(one["atoms"]) for one in arrays)
    dense, first = torch.zeros(size, size), 0
    for one in arrays:
        for begin, end in one["bonds"].astype(int) + first:
            dense[begin, end] = dense[end, begin] = 1
        first += len(one["atoms"])
    return dense


def test_a_layer_is_the_mean_over_neighbours_as_written_densely() -> None:
    arrays = some()
    dense, batch = adjacency(arrays), tree(arrays)
    torch.manual_seed(1)
    states = torch.randn(len(dense), 5, dtype=torch.float64, requires_grad=True)
    layer = MeanLayer(5, 4).double()
    degree = dense.sum(1, keepdim=True).double()
    assert (degree == 0).any()  # an atom alone has its own part only
    mean = dense.double() @ states / degree.clamp(min=1)
    wanted = torch.relu(
        mean @ layer.neighbours.weight.T + layer.neighbours.bias + states @ layer.own.weight.T
    )
    found = layer(states, Around.of(batch))
    torch.testing.assert_close(found, wanted)
    weight = torch.randn_like(wanted)
    (by_found,) = torch.autograd.grad((found * weight).sum(), states)
    (by_wanted,) = torch.autograd.grad((wanted * weight).sum(), states)
    torch.testing.assert_close(by_found, by_wanted)


def test_a_layer_over_kinds_of_atoms_is_that_over_their_atoms() -> None:
    batch, generator = tree(some()), torch.Generator().manual_seed(2)
    around, kind = Around.of(batch), batch["kind"]
    assert len(batch["kinds"]) < len(kind)
    kinds = torch.randn(len(batch["kinds"]), 5, generator=generator, dtype=torch.float64)
    layer, found = MeanLayer(5, 4).double(), []
    for told in (kinds.requires_grad_(), kinds):
        made = layer(told, around, kind) if not found else layer(told[kind], around)
        weight = torch.linspace(-1, 1, made.numel(), dtype=torch.float64).view_as(made)
        gradients = torch.autograd.grad((made * weight).sum(), [kinds, *layer.parameters()])
        found.append([made, *gradients])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)


def test_gradients_of_sums_are_right() -> None:
    batch = tree(some())
    around = Around.of(batch)
    rows = torch.randn(int(batch["sizes"].sum()), 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: sums(x, batch["sizes"]), (rows,))
    assert torch.autograd.gradcheck(lambda x: neighbour_mean(x, around), (rows,))


def test_directed_messages_are_those_written_bond_by_bond() -> None:
    arrays = some(6)
    network = built({"name": "dmpnn", "hidden": 6, "layers": 3, "readout": "mean"})
    batch = tree(arrays)
    with torch.no_grad():
        x, wanted = network.atoms(batch["kinds"])[batch["kind"]], []
        first = 0
        for one in arrays:
            states, features = {}, {}
            for (u, v), about in zip(one["bonds"].astype(int), one["bond_features"], strict=True):
                for a, b in ((u, v), (v, u)):
                    features[a, b] = x[first + a] + network.bonds(torch.tensor(about)[None])[0]
                    states[a, b] = torch.relu(features[a, b])
            for _ in range(2):
                states = {
                    (a, b): torch.relu(
                        features[a, b]
                        + network.messages(
                            sum(
                                (states[w, t] for w, t in states if t == a and w != b),
                                torch.zeros(6),
                            )
                        )
                    )
                    for a, b in states
                }
            size = len(one["atoms"])
            into = torch.stack(
                [
                    sum((states[w, t] for w, t in states if t == v), torch.zeros(6))
                    for v in range(size)
                ]
            )
            own = torch.relu(network.out(torch.cat([x[first : first + size], into], 1)))
            wanted.append(own.mean(0))
            first += size
        torch.testing.assert_close(network(batch), network.head(torch.stack(wanted)))


@pytest.mark.parametrize("model", NETWORKS)
def test_an_answer_does_not_hang_on_the_others_of_its_batch(model: dict[str, Any]) -> None:
    arrays, network = some(), built(model)
    with torch.no_grad():
        whole = network(tree(arrays))
        assert whole.shape == (9, 3)
        assert len(whole.unique(dim=0)) == 9
        for at, one in enumerate(arrays):
            torch.testing.assert_close(network(tree([one]))[0], whole[at], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("model", NETWORKS)
def test_an_answer_does_not_hang_on_the_order_of_atoms(model: dict[str, Any]) -> None:
    generator, network, arrays = np.random.default_rng(3), built(model), some()
    other = [turned(one, generator.permutation(len(one["atoms"]))) for one in arrays]
    with torch.no_grad():
        found, wanted = network(tree(other)), network(tree(arrays))
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("model", NETWORKS)
def test_every_parameter_learns(model: dict[str, Any]) -> None:
    network = built(model)
    network(tree(some())).square().sum().backward()
    still = [name for name, one in network.named_parameters() if not one.grad.abs().sum() > 0]
    assert still == []


def test_values_that_no_column_has_count_as_the_nearest() -> None:
    network = built(NETWORKS[0])
    arrays = some(1)
    arrays[0]["atoms"][:, 1] = 15
    most = network(tree(arrays))
    arrays[0]["atoms"][:, 1] = 100
    assert torch.equal(network(tree(arrays)), most)
