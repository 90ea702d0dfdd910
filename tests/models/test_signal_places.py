"""Networks of signals that answer sample by sample, or by how much a signal surprises them."""

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from medray.errors import SpecError
from medray.models import MODELS, model_options
from medray.models.base import Network
from medray.models.signal.autoencoder import SignalAutoencoder
from medray.models.signal.forecaster import SignalForecaster
from medray.models.signal.places import ChannelNorm
from medray.models.signal.unet1d import UNet1d

UNETS: list[dict[str, object]] = [
    {"features": [4, 6, 8], "steps": [2, 4], "kernel": 3, "dilations": [1, 3]},
    {"features": [4, 6], "steps": [3], "kernel": 5, "dilations": [2]},
    {"features": [4], "steps": [], "kernel": 3, "dilations": [1]},
]


def made(name: str, leads: int, patch: int | None, **options: object) -> Network:
    torch.manual_seed(0)
    kind = MODELS.get(name)
    return kind.build(
        model_options({"name": name, **options}), leads, 3, None if patch is None else (patch,)
    ).eval()


def unet(**options: object) -> UNet1d:
    network = made("unet1d", 2, None, **options)
    assert isinstance(network, UNet1d)
    return network


@pytest.mark.parametrize("options", UNETS)
@pytest.mark.parametrize("length", [1, 37, 96])
def test_every_sample_is_answered(options: dict[str, object], length: int) -> None:
    assert unet(**options)(torch.randn(2, 2, length)).shape == (2, 3, length)
    assert unet(**options)({"signal": torch.randn(1, 2, length)}).shape == (1, 3, length)


@pytest.mark.parametrize("options", UNETS)
def test_nothing_beyond_the_margin_is_heard(options: dict[str, object]) -> None:
    network = unet(**options)
    length = 6 * network.margin + 11
    signal = torch.randn(1, 2, length)
    with torch.inference_mode():
        plain = network(signal)
        reached = []
        for at in range(length // 2, length // 2 + network.divisor):
            moved = signal.clone()
            moved[..., at] += 3
            places = (network(moved) != plain).any(1)[0].nonzero()[:, 0] - at
            reached.append(int(places.abs().max()))
    assert max(reached) <= network.margin
    assert max(reached) > network.margin - 2 * network.divisor  # and it is no larger than need be


@pytest.mark.parametrize("options", UNETS)
def test_windows_with_margins_are_the_whole(options: dict[str, object]) -> None:
    network = unet(**options)
    margin, step = network.margin, network.divisor
    signal = torch.randn(1, 2, 8 * margin + 5)
    with torch.inference_mode():
        whole = network(signal)
        for first in (step, 3 * step):
            part = network(signal[..., first : first + 4 * margin])
            inner = part[..., margin : 3 * margin]
            wanted = whole[..., first + margin : first + 3 * margin]
            torch.testing.assert_close(inner, wanted, rtol=1e-4, atol=1e-5)


def test_levels_and_kernels_must_fit() -> None:
    for options in ({"steps": [4]}, {"kernel": 4}, {"features": []}):
        with pytest.raises(ValidationError):
            UNet1d.Options.model_validate(options)


def test_channels_are_normed_where_they_are() -> None:
    signal = torch.randn(2, 6, 5)
    rms = signal.square().mean(1, keepdim=True).sqrt()
    torch.testing.assert_close(ChannelNorm(6)(signal), signal / rms, rtol=1e-3, atol=1e-4)


def beats(count: int = 7) -> dict[str, Tensor]:
    torch.manual_seed(1)
    names = {"signal": (count, 2, 30), "context": (count, 2, 30), "columns": (count, 3)}
    return {name: torch.randn(*shape) for name, shape in names.items()}


def test_an_autoencoder_answers_with_what_does_not_come_back() -> None:
    network = made("signal-autoencoder", 2, 30, context=True, columns=3)
    inputs = beats()
    answer = network(inputs)
    assert answer.shape == (7, 1)
    assert isinstance(network, SignalAutoencoder)
    with torch.no_grad():
        for layer in network.decoder.parameters():
            layer.zero_()
    # A decoder that says nothing leaves the context: the surprise is the departure from it.
    wanted = (inputs["signal"] - inputs["context"]).square().mean((1, 2))[:, None]
    torch.testing.assert_close(network(inputs), wanted)


def test_a_plain_autoencoder_takes_signals_alone() -> None:
    network = made("signal-autoencoder", 2, 30)
    inputs = beats()
    assert torch.equal(network(inputs), network(inputs["signal"]))
    with pytest.raises(SpecError) as refused:
        made("signal-autoencoder", 2, None)
    assert refused.value.code == "no-length"


def test_a_forecast_hears_only_what_is_past() -> None:
    network = made("signal-forecaster", 2, 60, horizon=4, features=6)
    assert isinstance(network, SignalForecaster)
    signal = torch.randn(1, 2, 60, requires_grad=True)
    told = network.foretold(signal)
    assert told.shape == (1, 2, 56)
    (gradient,) = torch.autograd.grad(told[0, :, 30].sum(), signal)  # of sample 34
    heard = gradient.abs().sum((0, 1)).nonzero()[:, 0]
    assert int(heard.max()) == 30
    missed = (signal[..., 4:] - told).square().mean((1, 2))[:, None]
    torch.testing.assert_close(network(signal), missed)


def test_a_horizon_as_long_as_the_signal_is_refused() -> None:
    with pytest.raises(SpecError) as refused:
        made("signal-forecaster", 1, 8, horizon=8)
    assert refused.value.code == "patch-too-small"


@pytest.mark.parametrize("name", ["unet1d", "signal-autoencoder", "signal-forecaster"])
def test_every_parameter_gets_a_gradient_and_a_seed_fixes_the_start(name: str) -> None:
    network, again = made(name, 2, 30), made(name, 2, 30)
    network.train()
    network(beats()["signal"]).square().mean().backward()
    for (path, one), other in zip(network.named_parameters(), again.parameters(), strict=True):
        assert torch.equal(one, other), path
        assert one.grad is not None, path
        assert one.grad.abs().sum() > 0, path
