"""The part of a task that is of places: what labels and masks hold, and how they are made.

All of it has defaults, of classes that exclude each other and stand in labels as their numbers.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

LEAST = 1e-30  # of probabilities whose logarithm is taken


class Places(ABC):
    """How voxels, or bases, get an answer."""

    ignored: bool = False
    """Whether labels hold one value more, behind the classes, that takes no part."""
    numbered: ClassVar[bool] = False
    """Whether labels and masks hold numbers of instances; see `places`."""
    exclusive: bool = False
    """Whether channels, or classes, exclude each other, as those of a softmax do."""
    channel_threshold: float | None = None
    """Probability above which a channel is on, where several may be; see `painted`. None: the most
    probable class is the answer."""

    @property
    @abstractmethod
    def classes(self) -> tuple[str, ...]:
        """Names, in the order of labels and, by default, of the network's output channels."""

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the network's output channels: by default the classes."""
        return self.classes

    @property
    def paints(self) -> tuple[int, ...]:
        """The label that each channel paints where it is on, over those before it."""
        return tuple(range(len(self.channels)))

    @property
    def findings(self) -> tuple[int, ...]:
        """Channels that say something was found: by default all but the first, which is of none;
        all where several may be on."""
        return tuple(range(int(self.channel_threshold is None), len(self.channels)))

    def regions(self, logits: Tensor) -> Tensor:
        """Where each of `findings` is the answer, bool (B, findings, *cells).

        Args:
            logits: (B, channels, *cells).
        """
        if self.channel_threshold is not None:
            return self.probabilities(logits) > self.channel_threshold
        best = logits.argmax(1, keepdim=True)
        return best == torch.tensor(self.findings, device=best.device).view(
            -1, *[1] * (logits.ndim - 2)
        )

    def sure(self, logits: Tensor) -> Tensor:
        """How sure each channel is, 0 … 1, of logits (B, channels, *cells): the same shape."""
        return self.probabilities(logits)

    @abstractmethod
    def probabilities(self, logits: Tensor) -> Tensor:
        """Of logits (B, classes, …): the same shape."""

    def places(self, label: np.ndarray) -> np.ndarray:
        """Classes that are learnt of a stored label (*space): by default it holds these."""
        return label

    def logits(self, probabilities: Tensor) -> Tensor:
        """Of probabilities (B, channels, …) such as `probabilities` makes: logits of which it makes
        these; logarithms, of a softmax. By them several networks are blended as one is."""
        return probabilities.clamp(min=LEAST).log()

    def painted(self, channels: np.ndarray) -> np.ndarray:
        """Labels uint8 (*space) of channels that are on or off, (channels, *space)."""
        label = np.zeros(channels.shape[1:], np.uint8)
        for on, value in zip(channels, self.paints, strict=True):
            label[on > 0] = value
        return label

    def postprocess(self, slabs: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """The mask of a whole image (*space) as it is to be written.

        Args:
            slabs: of the mask, one after another along its first axis.
        """
        yield from slabs

    def counted(self, voxels: np.ndarray) -> dict[str, Any]:
        """Columns of a mask's row: by default its voxels of each class, as after ingest.

        Args:
            voxels: of each value in the mask, from 0.
        """
        counts = np.zeros(len(self.classes), np.int64)
        counts[: len(voxels)] = voxels
        return {"label_voxels": counts.tolist()}
