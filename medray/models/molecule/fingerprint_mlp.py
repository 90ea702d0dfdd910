"""Dense layers over a fingerprint, with descriptors beside it by option."""

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from medray.models.molecule.base import (
    Aside,
    Batch,
    Beside,
    MoleculeNetwork,
    MoleculeOptions,
    head_of,
)


class FingerprintMlp(MoleculeNetwork):
    """The first layer adds up a row for each bit that is on; nothing holds those that are off."""

    class Options(MoleculeOptions):
        """What can be chosen."""

        beside: tuple[Beside, ...] = Field(
            ("fingerprint",), min_length=1, description="what is read: fingerprint, descriptors"
        )
        hidden: int = Field(256, ge=1, description="width of the first layer over a fingerprint")

    graph: ClassVar[bool] = False

    def __init__(self, options: Options, out_channels: int) -> None:
        super().__init__(options, out_channels)
        self.aside = Aside(options, options.hidden)
        self.head = head_of(options, self.aside.width, out_channels)

    def forward(self, batch: Batch) -> Tensor:
        """See MoleculeNetwork."""
        logits: Tensor = self.head(torch.cat(self.aside(batch), 1))
        return logits
