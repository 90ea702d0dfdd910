"""From names and options to a network."""

from typing import Any, cast

from medray.errors import SpecError
from medray.modalities.image.plan import ImagePlan
from medray.models import MODELS, model_options
from medray.models.image.base import ImageNetwork


def levels_of(model: dict[str, Any]) -> int | None:
    """Resolutions that a patch has to allow, where the job names the features of each level.

    One more than a U-Net has: a SegNet pools after its last level too.
    """
    features = getattr(model_options(model), "features", None)
    return None if features is None else len(features) + 1


def build_network(model: dict[str, Any], plan: ImagePlan) -> ImageNetwork:
    """The network with fresh weights, drawn from torch's global generator.

    Raises:
        SpecError: the patch is not what it can take (code "indivisible-shape").
    """
    kind = MODELS.get(model["name"])
    options = model_options(model, dims=plan.dims)
    made = kind.build(options, plan.in_channels, len(plan.classes), plan.patch)
    network = cast("ImageNetwork", made)
    if any(size % by for size, by in zip(plan.patch, network.divisor, strict=True)):
        raise SpecError(
            f"the patch {plan.patch} is no multiple of {network.divisor}",
            code="indivisible-shape",
            about=str(model["name"]),
            hint="choose a patch that is, or fewer levels",
        )
    return network
