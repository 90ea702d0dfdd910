"""What every network owes: shapes, known sizes, gradients everywhere, the same start for a seed."""

from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from medray.errors import SpecError
from medray.models.base import Network, freeze
from medray.models.image.base import pool_steps
from medray.models.image.centernet import CenterNet
from medray.models.image.cnn import Cnn
from medray.models.image.layers import Residual
from medray.models.image.resnet import ResNet
from medray.models.image.segnet import SegNet
from medray.models.image.unet import UNet

Case = tuple[type[Network], dict[str, Any], tuple[int, ...]]

SEGMENTERS: list[Case] = [
    (UNet, {"dims": 2, "features": (4, 8, 16)}, (20, 32)),
    (UNet, {"dims": 3, "features": (4, 8, 16), "residual": True}, (8, 16, 24)),
    (UNet, {"dims": 3, "preset": "ronneberger", "features": (4, 8)}, (8, 12, 8)),
    (UNet, {"dims": 3, "preset": "resenc", "features": (4, 8, 8), "blocks": (1, 2, 2)}, (8, 8, 16)),
    (SegNet, {"dims": 2, "features": (4, 8)}, (16, 24)),
    (SegNet, {"dims": 3, "features": (4, 8, 8), "norm": "instance"}, (8, 16, 32)),
]
DETECTORS: list[Case] = [
    (CenterNet, {"dims": 2, "features": (4, 8, 8), "width": 8, "stride": 4}, (24, 32)),
    (
        CenterNet,
        {"dims": 3, "features": (4, 8, 8), "width": 8, "stride": 2, "blocks": 2},
        (16, 24, 16),
    ),
]
CLASSIFIERS: list[Case] = [
    (ResNet, {"dims": 2, "width": 4, "depth": 18}, (28, 28)),
    (ResNet, {"dims": 3, "width": 4, "depth": 50, "stem": "large"}, (33, 40, 35)),
    (Cnn, {"dims": 2, "features": (4, 8)}, (28, 28)),
    (Cnn, {"dims": 3, "features": (4, 8)}, (9, 16, 11)),
]


def build(case: Case, channels: int = 2, classes: int = 3) -> Network:
    network, options, patch = case
    return network.build(network.Options(**options), channels, classes, patch)


def parameters(network: Network) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize("case", SEGMENTERS)
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_segmenters_answer_at_the_input_size(case: Case, precision: torch.dtype) -> None:
    patch = case[2]
    network = build(case)
    with torch.autocast("cpu", torch.bfloat16, enabled=precision is torch.bfloat16):
        logits = network(torch.randn(2, 2, *patch))
    assert logits.shape == (2, 3, *patch)
    assert logits.dtype is precision
    assert torch.isfinite(logits).all()


@pytest.mark.parametrize("case", DETECTORS)
def test_detectors_answer_in_cells_with_empty_heat_maps(case: Case) -> None:
    """Before anything is learnt: scores of a tenth, and faces three cells away."""
    patch, stride = case[2], case[1]["stride"]
    maps = build(case)(torch.zeros(2, 2, *patch)).detach()
    assert maps.shape == (2, 3 + 2 * len(patch), *(size // stride for size in patch))
    assert maps[:, :3].sigmoid() == pytest.approx(0.1, abs=0.02)
    assert maps[:, 3:].exp() == pytest.approx(3, abs=0.5)


@pytest.mark.parametrize("case", CLASSIFIERS)
def test_classifiers_answer_per_sample_at_any_size(case: Case) -> None:
    network = build(case)
    sizes = [case[2], tuple(size + 3 for size in case[2])]
    assert [network(torch.randn(2, 2, *size)).shape for size in sizes] == [(2, 3), (2, 3)]


@pytest.mark.parametrize(
    ("case", "channels", "classes", "expected"),
    [
        # The well-known PyTorch-UNet and torchvision counts.
        ((UNet, {"dims": 2, "preset": "ronneberger"}, (512, 512)), 3, 2, 31_037_698),
        ((ResNet, {"depth": 18}, (224, 224)), 3, 1000, 11_689_512),
        ((ResNet, {"depth": 34}, (224, 224)), 3, 1000, 21_797_672),
        ((ResNet, {"depth": 50}, (224, 224)), 3, 1000, 25_557_032),
        # VGG-16: 14_710_464 weights; the mirror: 14_708_736; 2 x (4_224 + 3_712) of norms;
        # head 6_924.
        ((SegNet, {"dims": 2}, (224, 224)), 3, 12, 29_441_996),
        ((UNet, {"dims": 3}, (32, 48, 32)), 1, 3, 5_601_187),
        # By hand: 44 of the first convolution, 304 and 944 + 1,184 of three blocks, 132 of the
        # upsampling, 296 of the decoder, 15 of the head.
        ((UNet, {"preset": "resenc", "features": (4, 8), "blocks": (1, 2)}, (8, 8)), 1, 3, 2_919),
    ],
)
def test_parameter_counts_are_those_of_the_papers(
    case: Case, channels: int, classes: int, expected: int
) -> None:
    with torch.device("meta"):
        assert parameters(build(case, channels, classes)) == expected


@pytest.mark.parametrize("case", SEGMENTERS + DETECTORS + CLASSIFIERS)
def test_every_parameter_gets_a_gradient(case: Case) -> None:
    torch.manual_seed(0)
    network = build(case)
    torch.manual_seed(1)
    network(torch.randn(2, 2, *case[2])).square().sum().backward()
    dead = [
        name
        for name, parameter in network.named_parameters()
        if parameter.grad is None or not parameter.grad.abs().sum() > 0
    ]
    assert dead == []


@pytest.mark.parametrize("case", SEGMENTERS + DETECTORS + CLASSIFIERS)
def test_a_seed_fixes_the_start(case: Case) -> None:
    def start(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        return torch.cat([parameter.flatten() for parameter in build(case).parameters()])

    assert torch.equal(start(7), start(7))
    assert not torch.equal(start(7), start(8))


@pytest.mark.parametrize("network", [UNet, SegNet, ResNet, Cnn])
def test_unknown_options_are_refused(network: type[Network]) -> None:
    with pytest.raises(ValidationError, match="featurez"):
        network.Options.model_validate({"dims": 2, "featurez": [8, 16]})


def test_a_pooled_shortcut_is_the_mean_where_channels_stay() -> None:
    body = nn.Conv2d(2, 2, 3, 2, 1, bias=False)
    nn.init.zeros_(body.weight)
    block = Residual(2, 2, 2, body, norm_kind="instance", stride=(2, 2), pooled=True)
    image = torch.arange(32.0).reshape(1, 2, 4, 4)
    assert block(image)[0, 0].tolist() == [[2.5, 4.5], [10.5, 12.5]]
    assert not list(block.shortcut.parameters())
    wider = Residual(2, 2, 4, nn.Conv2d(2, 4, 3, 2, 1), norm_kind="instance", stride=2, pooled=True)
    assert wider(image).shape == (1, 4, 2, 2)


def test_levels_without_a_number_of_blocks_are_refused() -> None:
    case = (UNet, {"preset": "resenc", "features": (4, 8, 8), "blocks": (1, 1)}, (32, 32))
    with pytest.raises(SpecError, match="bad-blocks"):
        build(case)


def test_short_axes_are_pooled_less() -> None:
    assert pool_steps((8, 64, 64), 3, 4) == [(2, 2, 2), (1, 2, 2), (1, 2, 2)]
    assert pool_steps((4, 4), 2, 4) == []
    network = build((UNet, {"dims": 3, "features": (4, 8, 8, 8)}, (8, 64, 64)))
    assert network.divisor == (2, 8, 8)
    assert network(torch.randn(1, 2, 6, 24, 16)).shape == (1, 3, 6, 24, 16)


def test_too_many_levels_for_the_patch_are_refused() -> None:
    with pytest.raises(SpecError) as caught:
        build((UNet, {"dims": 2, "features": (4, 8, 16, 32)}, (16, 16)))
    assert caught.value.code == "patch-too-small"
    assert "give 3 features" in caught.value.hint


def test_a_patch_of_other_dimension_is_refused() -> None:
    with pytest.raises(SpecError) as caught:
        build((SegNet, {"dims": 3}, (64, 64)))
    assert caught.value.code == "dims-mismatch"


def test_indivisible_sizes_are_refused() -> None:
    network = build(SEGMENTERS[0])
    assert network.divisor == (4, 4)
    with pytest.raises(SpecError) as caught:
        network(torch.randn(1, 2, 20, 30))
    assert caught.value.code == "indivisible-shape"


def test_deep_supervision_answers_every_level_in_train_mode_only() -> None:
    network = build(
        (UNet, {"dims": 3, "features": (4, 8, 8), "deep_supervision": True}, (8, 16, 16))
    )
    x = torch.randn(1, 2, 8, 16, 16)
    assert [tuple(one.shape[2:]) for one in network(x)] == [(8, 16, 16), (4, 8, 8)]
    assert network.eval()(x).shape == (1, 3, 8, 16, 16)


def test_dropout_only_acts_in_train_mode() -> None:
    torch.manual_seed(0)
    network = build((UNet, {"dims": 2, "preset": "ronneberger", "features": (4, 8, 8)}, (16, 16)))
    x = torch.randn(1, 2, 16, 16)
    drops = [one for one in network.modules() if isinstance(one, torch.nn.Dropout2d)]
    assert [one.p for one in drops] == [0.5, 0.5]
    network.eval()
    assert torch.equal(network(x), network(x))


def test_frozen_layers_stay_and_their_statistics_too() -> None:
    torch.manual_seed(0)
    network = build((ResNet, {"dims": 2, "width": 4, "depth": 10}, (28, 28)))
    assert freeze(network, ["stem", "stages.0"]) == 9
    before = {name: value.clone() for name, value in network.state_dict().items()}
    network.train()
    optimiser = torch.optim.SGD(
        [parameter for parameter in network.parameters() if parameter.requires_grad], 0.1
    )
    network(torch.randn(4, 2, 28, 28)).square().sum().backward()
    optimiser.step()
    moved = {
        ".".join(name.split(".")[:2])
        for name, value in network.state_dict().items()
        if not torch.equal(value, before[name])
    }
    assert moved == {"stages.1", "stages.2", "stages.3", "head.2"}


def test_freezing_what_is_not_there_is_refused() -> None:
    network = build((Cnn, {"dims": 2, "features": (4, 8)}, (28, 28)))
    with pytest.raises(SpecError) as caught:
        freeze(network, ["bod"])
    assert caught.value.code == "unknown-layer"
    assert "body, head" in caught.value.hint
