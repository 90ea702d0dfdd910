"""Networks of beats and windows: what they hear, and that each signal is by itself."""

import pytest
import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from medray.models import MODELS, model_options
from medray.models.base import Network

NAMES = ("cnn1d", "resnet1d", "bilstm", "signal-transformer")


def made(name: str, leads: int = 2, **options: object) -> Network:
    torch.manual_seed(0)
    chosen = model_options({"name": name, **options}, context=True, columns=3)
    return MODELS.get(name).build(chosen, leads, 4, (50,)).eval()


def batch(size: int = 5, leads: int = 2, length: int = 50) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    shapes = {"signal": (size, leads, length), "context": (size, leads, length)}
    shapes |= {"columns": (size, 3)}
    return {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}


@pytest.mark.parametrize("name", NAMES)
def test_signals_contexts_and_columns_are_heard(name: str) -> None:
    network, inputs = made(name), batch()
    with torch.inference_mode():
        plain = network(inputs)
        assert plain.shape == (5, 4)
        for part in inputs:
            other = {**inputs, part: inputs[part].flip(0)}
            assert not torch.allclose(network(other)[0], plain[0])
            assert torch.allclose(network(other)[2], plain[2], atol=1e-6)  # the one in the middle


@pytest.mark.parametrize("name", NAMES)
def test_an_answer_hangs_on_no_other_signal(name: str) -> None:
    network, inputs = made(name), batch()
    assert not any(isinstance(one, _BatchNorm) for one in network.modules())
    with torch.inference_mode():
        alone = network({part: values[1:2] for part, values in inputs.items()})
        assert torch.allclose(alone, network(inputs)[1:2], atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("length", [1, 7, 187])
def test_any_length_is_taken(name: str, length: int) -> None:
    assert made(name, leads=3)(batch(2, 3, length)).shape == (2, 4)


@pytest.mark.parametrize("name", NAMES)
def test_without_context_and_columns_a_signal_is_all(name: str) -> None:
    torch.manual_seed(0)
    kind = MODELS.get(name)
    network = kind.build(model_options({"name": name}), 2, 4, (50,)).eval()
    whole = sum(one.numel() for one in network.parameters())
    assert whole < sum(one.numel() for one in made(name).parameters())
    assert network({"signal": batch()["signal"]}).shape == (5, 4)


def test_channels_are_the_signal_and_its_difference_from_the_context() -> None:
    from medray.models.signal.base import SignalNetwork

    inputs = batch()
    channels = SignalNetwork.channels(inputs)
    assert torch.equal(channels[:, :2], inputs["signal"])
    assert torch.equal(channels[:, 2:], inputs["signal"] - inputs["context"])
