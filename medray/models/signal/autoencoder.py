"""An autoencoder of signals: what it can't give back, it has not learnt."""

from collections.abc import Mapping
from typing import ClassVar, Self, cast

import torch
from pydantic import Field
from torch import Tensor, nn

from medray.errors import SpecError
from medray.models.base import Answers, ModelOptions, Network


class SignalAutoencoder(Network):
    """A signal squeezed into a few numbers and back; the answer is how far off it comes back.

    Of beats with a context (the record's median beat) encoder and decoder see it, and what has
    to be given back is how a beat departs from it: then a patient's own shape is no surprise.
    """

    class Options(ModelOptions):
        """What can be chosen."""

        planned: ClassVar[frozenset[str]] = frozenset({"context", "columns"})

        context: bool = Field(False, description="whether samples bring an array `context`")
        columns: int = Field(0, ge=0, description="numbers that come beside a signal")
        code: int = Field(8, ge=1, description="numbers that a signal is squeezed into")
        width: int = Field(128, ge=2, description="units of the wider hidden layers")

    takes: ClassVar[str] = "signal"
    answers: ClassVar[frozenset[Answers]] = frozenset({"surprise"})

    def __init__(self, options: Options, leads: int, length: int) -> None:
        super().__init__()
        self.length, self.context = length, options.context
        self.beside = options.columns
        size, wide, narrow = leads * length, options.width, max(1, options.width // 2)
        known = options.columns + (size if options.context else 0)
        self.encoder = _dense(size + known, wide, narrow, options.code)
        self.decoder = _dense(options.code + known, narrow, wide, size)

    @classmethod
    def build(
        cls,
        options: ModelOptions,
        in_channels: int,
        out_channels: int,
        patch: tuple[int, ...] | None,
    ) -> Self:
        """See `Network.build`.

        Raises:
            SpecError: the length of the signals is not known (code "no-length").
        """
        if patch is None:
            raise SpecError(
                "an autoencoder needs the length of the signals",
                code="no-length",
                about="signal-autoencoder",
                hint="give plan.length",
            )
        return cls(cast("SignalAutoencoder.Options", options), in_channels, patch[0])

    def forward(self, inputs: Tensor | Mapping[str, Tensor]) -> Tensor:
        """Signals (B, leads, length) to the mean square of what does not come back, (B, 1).

        Args:
            inputs: the signals, or by name: `signal`, where there is one `context` of the same
                shape, and `columns` (B, columns).
        """
        named = {"signal": inputs} if isinstance(inputs, Tensor) else inputs
        signal = named["signal"].flatten(1)
        known = [named["context"].flatten(1)] if self.context else []
        if self.beside:
            known.append(named["columns"])
        code = self.encoder(torch.cat([signal, *known], 1))
        given: Tensor = self.decoder(torch.cat([code, *known], 1))
        if self.context:
            given = given + known[0]
        return (signal - given).square().mean(1, keepdim=True)


def _dense(inward: int, first: int, second: int, outward: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(inward, first),
        nn.GELU(),
        nn.Linear(first, second),
        nn.GELU(),
        nn.Linear(second, outward),
    )
