import numpy as np
import pytest
import torch

from medray.formats.genomics.alphabet import PAD
from medray.modalities.sequence.kmers import kmer_design
from medray.models.sequence.kmers import KmerPath, count_kmers
from medray.models.sequence.seq_cnn import SeqCnn
from medray.models.sequence.tokens import one_hot


def tokens(length: int, samples: int = 9) -> np.ndarray:
    random = np.random.default_rng(length)
    made = random.integers(0, 5, (samples, length)).astype(np.uint8)
    made[1, length // 2 :] = PAD
    return made


@pytest.mark.parametrize(("length", "longest"), [(40, 1), (40, 4), (33, 6), (3, 5)])
def test_counts_are_those_of_the_linear_model(length: int, longest: int) -> None:
    some = tokens(length)
    bases, _ = one_hot(torch.from_numpy(some))
    want = kmer_design(some, longest)[:, 4 * length :]
    np.testing.assert_array_equal(count_kmers(bases, longest).numpy(), want)


def test_gradients_pass_to_bases_that_are_not_decided() -> None:
    bases = torch.full((1, 4, 8), 0.25, requires_grad=True)
    counts = count_kmers(bases, 3)
    assert counts.sum(1).item() == pytest.approx(8 + 7 + 6)  # each place holds one word in all
    counts[0, 4 + 16 :][0b000110].backward()  # ACG
    assert bases.grad is not None
    assert bases.grad[0, 0, 0] == pytest.approx(1 / 16)  # A at the first place: C and G by chance
    assert bases.grad[0, 3].abs().sum() == 0


def test_the_path_begins_silent_and_learns_composition() -> None:
    torch.manual_seed(0)
    options = SeqCnn.Options(kernels=(3,), filters=2, pool="max", dense=0, kmers=2, dropout=0.0)
    network = SeqCnn.build(options, 4, 2, (30,))
    some = torch.from_numpy(tokens(30, 64) % 4)
    assert isinstance(network.kmers, KmerPath)
    deep = SeqCnn.build(options.model_copy(update={"kmers": 0}), 4, 2, (30,))
    weights = {k: v for k, v in network.state_dict().items() if not k.startswith("kmers.")}
    deep.load_state_dict(weights)
    torch.testing.assert_close(network.eval()(some), deep.eval()(some))
    optimiser = torch.optim.Adam(network.kmers.parameters(), 0.05)
    target = (some == 2).sum(1) > (some == 3).sum(1)  # more G than T
    for _ in range(60):
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(network.train()(some), target.long()).backward()
        optimiser.step()
    assert (network.eval()(some).argmax(1) == target).float().mean() > 0.95


def test_both_strands_are_counted_where_both_are_read() -> None:
    options = SeqCnn.Options(
        kernels=(3,), filters=2, pool="max", strands="both", dense=0, kmers=3, dropout=0.0
    )
    network = SeqCnn.build(options, 4, 2, (30,)).eval()
    assert isinstance(network.kmers, KmerPath)
    torch.nn.init.normal_(network.kmers.weight.weight)
    some = torch.from_numpy(tokens(30) % 4)
    torch.testing.assert_close(network(some), network(3 - some.flip(1)), rtol=1e-4, atol=1e-4)
