"""What can be chosen about the augmentation of sequences."""

from pydantic import Field

from medray.modalities.plan import Augment


class SequenceAugment(Augment):
    """Sequences read from the other strand, and moved."""

    reverse_complement: bool = Field(False, description="every other draw shows the other strand")
    shift_bases: int = Field(0, ge=0, description="moved by up to so many, in ±")
