"""SegNet puts values back where the pool found them."""

import torch
from torch import nn

from medray.models.image.segnet import SegNet


def test_unpooling_puts_maxima_back_at_their_positions() -> None:
    """One channel, every convolution the identity: then SegNet keeps each 2x2 block's maximum at
    its place and zeroes the rest, which no decoder without indices could do."""
    options = SegNet.Options(dims=2, features=(1,), convs=(1,), norm="none")
    network = SegNet.build(options, 1, 1, None)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.dirac_(module.weight)
            nn.init.zeros_(module.bias)  # type: ignore[arg-type]
    image = torch.tensor(
        [
            [1.0, 2.0, 9.0, 3.0],
            [4.0, 3.0, 5.0, 6.0],
            [2.0, 1.0, 1.0, 2.0],
            [8.0, 7.0, 3.0, 5.0],
        ]
    )
    expected = torch.tensor(
        [
            [0.0, 0.0, 9.0, 0.0],
            [4.0, 0.0, 0.0, 0.0],
            [0.0, 0.0, 0.0, 0.0],
            [8.0, 0.0, 0.0, 5.0],
        ]
    )
    assert torch.equal(network(image[None, None])[0, 0], expected)


def test_unpooling_in_3d_under_bf16() -> None:
    options = SegNet.Options(dims=3, features=(1,), convs=(1,), norm="none")
    network = SegNet.build(options, 1, 1, (8, 8, 8))
    for module in network.modules():
        if isinstance(module, nn.Conv3d):
            nn.init.dirac_(module.weight)
            nn.init.zeros_(module.bias)  # type: ignore[arg-type]
    volume = torch.zeros(1, 1, 4, 4, 4)
    volume[0, 0, 1, 2, 3], volume[0, 0, 1, 2, 2] = 5.0, 4.0
    with torch.autocast("cpu", torch.bfloat16):
        answer = network(volume)
    assert answer.nonzero().tolist() == [[0, 0, 1, 2, 3]]
    assert answer.max() == 5.0


def test_the_decoder_mirrors_the_encoder() -> None:
    network = SegNet.build(
        SegNet.Options(dims=2, features=(4, 8, 16), convs=(1, 2, 3)), 3, 2, (64, 64)
    )

    def channels(part: nn.Module) -> list[tuple[int, int]]:
        return [
            (one.in_channels, one.out_channels)
            for one in part.modules()
            if isinstance(one, nn.Conv2d)
        ]

    assert channels(network.encoder) == [(3, 4), (4, 8), (8, 8), (8, 16), (16, 16), (16, 16)]
    assert channels(network.decoder) == [(16, 16), (16, 16), (16, 8), (8, 8), (8, 4)]
    assert channels(network.head) == [(4, 2)]
    assert network.divisor == (8, 8)
