"""What CNNs over words share: filters of several widths, and the most of each over the words."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Convolutions(nn.Module):
    """Filters over words, the maximum of each over a text (Collobert et al. 2011; Kim 2014).

    Args:
        inward: size of what is known of a word.
        filters: of each width.
        widths: in words.
    """

    def __init__(self, inward: int, filters: int, widths: Sequence[int]) -> None:
        super().__init__()
        self.filters = nn.ModuleList(
            nn.Conv1d(inward, filters, width, padding=width // 2) for width in widths
        )
        self.outward = filters * len(widths)

    def forward(self, words: Tensor, lengths: Tensor) -> Tensor:
        """(B, outward) of (B, L, inward), whatever lies behind a text's end."""
        there = torch.arange(words.shape[1], device=words.device) < lengths[:, None]
        columns = (words * there[:, :, None]).transpose(1, 2)
        each = [
            convolve(columns)[:, :, : words.shape[1]]
            .masked_fill(~there[:, None], torch.finfo(words.dtype).min)
            .amax(2)
            for convolve in self.filters
        ]
        return torch.cat(each, 1).relu()
