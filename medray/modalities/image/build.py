"""From names and options to a network."""

from collections.abc import Sequence
from typing import Any, cast

from medray.errors import SpecError
from medray.modalities.image.options import ImagePlanOptions
from medray.modalities.image.plan import ImagePlan, require_axes
from medray.modalities.plan import Sketch
from medray.models import MODELS, model_options
from medray.models.image.base import ImageNetwork
from medray.tasks.base import Task
from medray.tasks.restoring import RestoringTask


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
    outward = plan.in_channels if plan.answers == "restored" else len(plan.classes)
    made = kind.build(options, plan.inputs, outward, plan.patch)
    network = cast("ImageNetwork", made)
    require_fitting(plan.patch, network)
    return network


def sketch_of(given: ImagePlanOptions, task: Task, dims: int | None, axes: int | None) -> Sketch:
    """See Modality.sketch.

    Args:
        given: what the job fixes of the plan.
        task: that is to be learnt.
        dims: as of the network's options.
        axes: of the images, where known.
    """
    if dims is not None and axes is not None and dims != axes:
        raise SpecError(
            f"the images have {axes} spatial axes, not {dims}",
            code="dims-mismatch",
            about="model.dims",
            hint=f"give {axes}",
        )
    likely = dims or axes or (len(given.patch) if given.patch else 2)
    require_axes(given, likely)
    if task.answers == "restored" and given.patch:
        cast("RestoringTask", task).hidden(given.patch, 0)  # says what can't be
    return Sketch({"dims": likely}, size=given.patch, sure=given.patch is not None)


def require_fitting(patch: Sequence[int], network: ImageNetwork) -> None:
    """Refuse a patch that a network cannot take.

    Raises:
        SpecError: a size is no multiple of the network's (code "indivisible-shape").
    """
    fitting = [-(-size // by) * by for size, by in zip(patch, network.divisor, strict=True)]
    if fitting != list(patch):
        raise SpecError(
            f"the patch {list(patch)} is no multiple of {list(network.divisor)}",
            code="indivisible-shape",
            hint=f"give {fitting}, or fewer levels",
        )
