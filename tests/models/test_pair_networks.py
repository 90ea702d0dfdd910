"""Networks of pairs: no answer hangs on the batch, on filling up, or on the order of atoms."""

from typing import Any

import numpy as np
import pytest
import torch

from medray.errors import SpecError
from medray.formats.pairs.options import COMPOUND
from medray.modalities.pair.cases import Pairs, packed
from medray.models import MODELS, model_options
from medray.models.base import Network
from medray.models.pair.base import TOKENS
from medray.models.pair.residues import Words
from tests.molecules import molecules, turned

CPU = torch.device("cpu")
NETWORKS: list[dict[str, Any]] = [
    {"name": "dual-encoder", "filters": [8, 12], "width": 16, "head": [8]},
    {
        "name": "dual-encoder", "compound": {"name": "message-passing", "hidden": 8},
        "filters": [8], "pool": 2, "attention": 1, "width": 8, "words": 0,
    },
]  # fmt: skip


def built(model: dict[str, Any]) -> Network:
    torch.manual_seed(0)
    return MODELS.get(model["name"]).build(model_options(model), 1, 2, None).eval()


def some(seed: int = 0) -> tuple[list[dict[str, np.ndarray]], list[np.ndarray]]:
    generator = np.random.default_rng(seed)
    graphs = [{n: np.asarray(one.arrays[n]) for n in COMPOUND} for one in molecules(5, seed)]
    chains = [generator.integers(65, 91, length).astype(np.uint8) for length in (3, 70, 31, 200)]
    return graphs, chains


def of(
    graphs: list[dict[str, np.ndarray]], chains: list[np.ndarray], pairs: list[tuple[int, int]]
) -> Pairs:
    def ends(parts: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        return np.concatenate(parts), np.array([len(one) for one in parts])

    arrays = {COMPOUND[name]: ends([one[name] for one in graphs]) for name in COMPOUND}
    return packed(arrays, ends(chains), *np.array(pairs, np.int64).T)


def answers(network: Network, pairs: Pairs, most: int = 1000) -> torch.Tensor:
    with torch.no_grad():
        made: torch.Tensor = network(pairs.tree(most, CPU))
    return made


@pytest.mark.parametrize("model", NETWORKS)
def test_no_answer_hangs_on_the_batch(model: dict[str, Any]) -> None:
    network, (graphs, chains) = built(model), some()
    every = [(c, p) for c in range(5) for p in range(4)]
    whole = answers(network, of(graphs, chains, every))
    assert whole.std(0).min() > 1e-3
    order = np.random.default_rng(1).permutation(len(every))
    mixed = answers(network, of(graphs, chains, every).take(order))
    torch.testing.assert_close(mixed, whole[order], atol=1e-5, rtol=1e-4)
    for number in (0, 6, 19):
        c, p = every[number]
        alone = answers(network, of([graphs[c]], [chains[p]], [(0, 0)]))
        torch.testing.assert_close(alone[0], whole[number], atol=1e-5, rtol=1e-4)
    again = [turned(one, np.random.default_rng(2).permutation(len(one["atoms"]))) for one in graphs]
    torch.testing.assert_close(
        answers(network, of(again, chains, every)), whole, atol=1e-5, rtol=1e-4
    )


def test_residues_count_and_so_does_their_order() -> None:
    network, (graphs, chains) = built(NETWORKS[0]), some()
    found = answers(network, of(graphs, [chains[1], chains[1][::-1].copy()], [(0, 0), (0, 1)]))
    assert not torch.allclose(found[0], found[1], atol=1e-4)
    cut = answers(network, of(graphs, [chains[3], chains[3][:50]], [(0, 0), (0, 1)]), most=50)
    torch.testing.assert_close(cut[0], cut[1])


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"compound": {"name": "mlp"}}, "wrong-encoder"),
        ({"compound": {"name": "fingerprint-mlp"}}, "wrong-encoder"),
        ({"compound": {"name": "dmpnn", "beside": ["descriptors"]}}, "wrong-encoder"),
        ({"attention": 1, "filters": [6]}, "odd-heads"),
    ],
)
def test_encoders_that_do_not_fit_are_refused(options: dict[str, Any], code: str) -> None:
    with pytest.raises(SpecError) as caught:
        built({"name": "dual-encoder", **options})
    assert caught.value.code == code


def test_a_batch_of_one_protein_can_be_learnt_from() -> None:
    network, (graphs, chains) = built(NETWORKS[0]).train(), some()
    made = network(of(graphs, chains[:1], [(0, 0), (3, 0)]).tree(90, CPU))
    made.sum().backward()
    assert all(one.grad is not None for one in network.parameters())


def test_words_are_counted_whole_ones_only() -> None:
    words = Words(2, 3)
    chain = torch.tensor([[1, 2, 1, 2, 0, 0], [5, 0, 0, 0, 0, 0]], dtype=torch.uint8)
    ab, ba = words.table.weight[[TOKENS + 2, 2 * TOKENS + 1]]
    found = words(chain)
    torch.testing.assert_close(found[0], (2 * ab + ba) / 3**0.5)
    assert not found[1].any()
