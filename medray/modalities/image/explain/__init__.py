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
    """What to raise where a network that a coarse mask guides is to be explained."""
    return SpecError(
        "what a guided network's answers hang on is the coarse mask, too, which no map shows",
        code="no-attributions",
        about=about,
        hint="leave `outputs` out, or explain the coarse model",
    )


def no_grad_cam(about: str) -> SpecError:
    """What to raise where boxes are to be explained by Grad-CAM: weighed by the mean its maps show
    no more than chance, and weighed cell by cell they point at the boxes with random weights too
    (docs/explanations.md)."""
    return SpecError(
        "Grad-CAM does not show what boxes hang on",
        code="no-attributions",
        about=about,
        hint="ask for integrated-gradients or occlusion",
    )
