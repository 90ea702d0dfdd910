"""Dense networks of tables, and what fusion does where a modality is missing."""

import pytest
import torch

from medray.errors import SpecError
from medray.models.table.fusion import Fusion
from medray.models.table.mlp import Mlp
from medray.models.table.tarnet import Tarnet

WIDTHS = {"mrna": 5, "methylation": 3, "mirna": 4}


def fusion(**options: object) -> Fusion:
    torch.manual_seed(0)
    chosen = Fusion.Options.model_validate({"modalities": WIDTHS, "hidden": (6,), **options})
    return Fusion.build(chosen, 12, 2, None)


def joined(tables: dict[str, torch.Tensor]) -> torch.Tensor:
    """Beside each other; NaN where one is left out."""
    rows = len(next(iter(tables.values())))
    parts = [tables.get(name, torch.full((rows, n), torch.nan)) for name, n in WIDTHS.items()]
    return torch.cat(parts, 1)


def tables(rows: int = 4) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {name: torch.randn(rows, width, generator=generator) for name, width in WIDTHS.items()}


def test_no_hidden_layer_is_a_linear_model() -> None:
    network = Mlp.build(Mlp.Options(hidden=()), 7, 2, None).eval()
    x = torch.randn(3, 7)
    weight, bias = network.parameters()
    assert torch.allclose(network(x), x @ weight.T + bias)
    assert network.takes == "table"


def test_layers_are_as_asked() -> None:
    options = Mlp.Options(hidden=(6, 4), batch_norm=True, dropout=0.5, input_dropout=0.2)
    network = Mlp.build(options, 7, 2, None)
    kinds = [type(layer).__name__ for layer in network.layers]
    block = ["Linear", "BatchNorm1d", "ReLU", "Dropout"]
    assert kinds == ["Dropout", *block, *block, "Linear"]
    drops = [one.p for one in network.modules() if isinstance(one, torch.nn.Dropout)]
    assert drops == [0.2, 0.5, 0.5]
    assert network(torch.randn(3, 7)).shape == (3, 2)


@pytest.mark.parametrize("join", ["early", "late"])
def test_fusion_hears_every_modality(join: str) -> None:
    network = fusion(join=join).eval()
    whole = network(joined(tables()))
    assert whole.shape == (4, 2)
    for name in WIDTHS:
        other = tables()
        other[name] = other[name] + 1
        assert not torch.allclose(network(joined(other)), whole)


@pytest.mark.parametrize("join", ["early", "late"])
def test_a_missing_modality_is_masked(join: str) -> None:
    network = fusion(join=join).eval()
    whole, spoilt, without = tables(), tables(), tables()
    spoilt["mirna"][1, 2] = torch.nan
    del without["mirna"]
    answers = [network(joined(some)) for some in (whole, spoilt, without)]
    assert torch.isfinite(answers[1]).all()
    assert torch.equal(answers[1][1], answers[2][1])
    assert torch.equal(answers[1][0], answers[0][0])
    assert not torch.allclose(answers[1][1], answers[0][1])


def test_late_fusion_is_a_weighted_mean_of_what_is_there() -> None:
    network = fusion(join="late").eval()
    torch.nn.init.normal_(network.trust)
    torch.nn.init.normal_(network.bias)
    some = tables()
    del some["methylation"]
    parts = [network.late[0](some["mrna"]), network.late[2](some["mirna"])]
    first, second = network.trust[[0, 2]].softmax(0)
    assert torch.allclose(
        network(joined(some)), first * parts[0] + second * parts[1] + network.bias
    )
    nothing = {"mrna": torch.full((2, 5), torch.nan)}
    assert torch.equal(network(joined(nothing)), network.bias.expand(2, 2))


def test_early_fusion_tells_missing_from_zero() -> None:
    network = fusion(join="early").eval()
    some = tables()
    some["mirna"] = torch.zeros(4, 4)
    zero = network(joined(some))
    del some["mirna"]
    assert not torch.allclose(network(joined(some)), zero)


def test_training_hides_modalities() -> None:
    network = fusion(join="late", drop_modality=0.5, dropout=0)
    torch.manual_seed(3)
    answers = torch.stack([network(joined(tables(1)))[0] for _ in range(64)])
    assert len({tuple(answer.tolist()) for answer in answers}) == 8  # each of three there or not
    network.eval()
    assert torch.equal(network(joined(tables())), network(joined(tables())))


def test_a_missing_modality_leaves_gradients_finite() -> None:
    for join in ("early", "late"):
        network = fusion(join=join)
        some = tables()
        some["mrna"][0] = torch.nan
        network(joined(some)).square().sum().backward()
        grads = [parameter.grad for parameter in network.parameters()]
        assert all(grad is not None and torch.isfinite(grad).all() for grad in grads)


def test_fusion_of_other_data_is_refused() -> None:
    for options, code in (({}, "no-modalities"), ({"modalities": WIDTHS}, "modalities-mismatch")):
        with pytest.raises(SpecError) as caught:
            Fusion.build(Fusion.Options.model_validate(options), 13, 2, None)
        assert caught.value.code == code


def test_heads_of_a_tarnet_share_their_trunk_alone() -> None:
    torch.manual_seed(0)
    network = Tarnet.build(Tarnet.Options(hidden=(6, 5), heads=(4,), linear=False), 7, 3, None)
    x = torch.randn(3, 7)
    assert network.eval()(x).shape == (3, 3)
    network(x)[:, 1].sum().backward()  # type: ignore[no-untyped-call]
    learnt = {name for name, one in network.named_parameters() if one.grad.any()}
    assert any(name.startswith("trunk.") for name in learnt)
    assert {name.split(".")[1] for name in learnt if name.startswith("heads.")} == {"1"}


def test_a_tarnet_without_layers_is_linear() -> None:
    network = Tarnet.build(Tarnet.Options(hidden=(), heads=()), 7, 3, None).eval()
    x = torch.randn(3, 7)
    assert network.linear is not None
    weight = torch.cat([head[-1].weight for head in network.heads]) + network.linear.weight
    bias = torch.cat([head[-1].bias for head in network.heads])
    assert torch.allclose(network(x), x @ weight.T + bias, atol=1e-6)
