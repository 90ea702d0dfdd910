"""What can be chosen about the augmentation of signals."""

from pydantic import Field

from medray.modalities.plan import Augment


class SignalAugment(Augment):
    """Signals as they may have been recorded: louder, noisier, a bit faster, with a lead off.

    Sizes are in units of a scaled signal, whose deviation is 1 unless the plan's `scale` is none.
    """

    amplitude: float = Field(0.0, ge=0, lt=1, description="factor within 1 ± this, context too")
    noise: float = Field(0.0, ge=0, description="largest deviation of noise that is added")
    wander: float = Field(0.0, ge=0, description="largest amplitude of a slow sine that is added")
    wander_hz: tuple[float, float] = Field((0.05, 0.7), description="its frequency, least and most")
    warp: float = Field(0.0, ge=0, lt=0.5, description="time within 1 ± this, context too")
    shift_s: float = Field(0.0, ge=0, description="moved by up to so many seconds, in ±")
    lead_drop: float = Field(0.0, ge=0, lt=1, description="chance of each lead to be 0, not of all")
    columns: float = Field(0.0, ge=0, description="deviation of noise that is added to columns")
