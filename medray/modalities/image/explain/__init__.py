"""What a network of images looks at: maps on the image's own grid, and what they are worth."""

from typing import Literal, get_args

How = Literal["grad-cam", "integrated-gradients", "occlusion"]
HOW: tuple[How, ...] = get_args(How)

MAP = "attribution"
"""Array of a prediction: float32 (explained, *space), on the grid of its image."""
EXPLAINED = "explained"
"""Column: of which class, or classes, a prediction's maps are."""
