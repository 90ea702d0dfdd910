"""What a network of images looks at: maps on the image's own grid, and what they are worth."""

from typing import Literal, get_args

from medray.errors import SpecError

How = Literal["grad-cam", "integrated-gradients", "occlusion"]
HOW: tuple[How, ...] = get_args(How)

MAP = "attribution"
"""Array of a prediction: float32 (explained, *space), on the grid of its image."""
EXPLAINED = "explained"
"""Column: of which class, or classes, a prediction's maps are."""


def no_maps(about: str) -> SpecError:
    """What to raise where boxes, instances or regions that overlap are to be explained."""
    return SpecError(
        "there are no maps of what such answers hang on",
        code="no-attributions",
        about=about,
        hint="leave `outputs` out; maps are of whole images, and of masks of classes",
    )
