"""Several networks as one: each window goes through all of them, and their mean is blended."""

from collections.abc import Sequence
from typing import cast

from medray.errors import SpecError
from medray.modalities.ask import Averaged
from medray.modalities.image.plan import ImagePlan
from medray.models.base import Network
from medray.models.image.base import ImageNetwork
from medray.tasks.base import Task


class AveragedWindows(Averaged):
    """Networks of one grid as one.

    So a mask of n networks takes one pass over the image, and n times the arithmetic, but holds
    what one network's takes: the image's slabs, one ring of blended logits, and of a window in hand
    the activations of one network and a sum.
    """

    def __init__(self, networks: Sequence[Network], task: Task) -> None:
        super().__init__(networks, task)
        self.divisor = cast("ImageNetwork", networks[0]).divisor
        self.feature_maps: tuple[str, ...] = ()  # each has its own


def averaged(networks: Sequence[Network], plans: Sequence[ImagePlan], task: Task) -> Network:
    """See Several.united.

    Raises:
        SpecError: the networks are not of one grid (code "other-grid").
    """
    first = plans[0]
    for plan in plans:
        for what in ("patch", "spacing_mm", "channels"):
            if getattr(plan, what) != getattr(first, what):
                raise SpecError(
                    f"networks of one model differ in {what}",
                    code="other-grid",
                    about=f"{getattr(first, what)}, {getattr(plan, what)}",
                    hint="train them again: they then have one plan",
                )
    return cast("Network", AveragedWindows(networks, task))
