"""A forecaster of signals: what comes otherwise than it said is a surprise."""

from collections.abc import Mapping
from typing import ClassVar, Self, cast

from pydantic import Field
from torch import Tensor, nn

from medray.errors import SpecError
from medray.models.base import Answers, ModelOptions, Network
from medray.models.signal.places import ChannelNorm


class SignalForecaster(Network):
    """Causal convolutions say what comes next (as WaveNet's, van den Oord et al. 2016); the answer
    is how far off that is, in the mean over leads and time.

    A forecast of a sample sees what lies `horizon` samples before it and earlier, and nothing else.
    """

    class Options(ModelOptions):
        """What can be chosen."""

        horizon: int = Field(8, ge=1, description="samples ahead that are foretold")
        features: int = Field(32, ge=1, description="channels of each layer")
        kernel: int = Field(5, ge=2, description="samples that a convolution sees")
        dilations: tuple[int, ...] = Field(
            (1, 2, 4, 8), min_length=1, description="of the layers, one after another"
        )

    takes: ClassVar[str] = "signal"
    answers: ClassVar[frozenset[Answers]] = frozenset({"surprise"})

    def __init__(self, options: Options, leads: int) -> None:
        super().__init__()
        width = options.features
        self.horizon = options.horizon
        self.stem = nn.Conv1d(leads, width, 1)
        self.pads = [by * (options.kernel - 1) for by in options.dilations]
        self.norms = nn.ModuleList(ChannelNorm(width) for _ in options.dilations)
        self.layers = nn.ModuleList(
            nn.Conv1d(width, width, options.kernel, dilation=by) for by in options.dilations
        )
        self.head = nn.Conv1d(width, leads, 1)

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
            SpecError: the signals are no longer than what is foretold (code "patch-too-small").
        """
        chosen = cast("SignalForecaster.Options", options)
        if patch is not None and patch[0] <= chosen.horizon:
            raise SpecError(
                f"signals of {patch[0]} samples can't be foretold {chosen.horizon} ahead",
                code="patch-too-small",
                about="signal-forecaster",
                hint="take longer windows, or a smaller horizon",
            )
        return cls(chosen, in_channels)

    def forward(self, inputs: Tensor | Mapping[str, Tensor]) -> Tensor:
        """Signals (B, leads, L) to the mean square of what was not foretold, (B, 1).

        Args:
            inputs: the signals, or `signal` among others by name, which it does not look at.
        """
        signal = inputs if isinstance(inputs, Tensor) else inputs["signal"]
        missed: Tensor = (signal[..., self.horizon :] - self.foretold(signal)).square()
        return missed.mean((1, 2))[:, None]

    def foretold(self, signal: Tensor) -> Tensor:
        """The forecasts of all samples but the first `horizon`, (B, leads, L - horizon)."""
        seen = signal[..., : -self.horizon]
        x = self.stem(seen)
        for pad, norm, layer in zip(self.pads, self.norms, self.layers, strict=True):
            x = x + layer(nn.functional.pad(norm(x).relu_(), (pad, 0)))
        told: Tensor = seen + self.head(x)  # what was last seen, and how that changes
        return told
