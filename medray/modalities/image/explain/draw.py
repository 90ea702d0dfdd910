"""A map drawn over one slice of its image."""

from typing import Any

import numpy as np

from medray.modalities.image.overlay import draw_overlay

# From nothing to much: black, red, yellow, white; told apart in grey too.
HOT = np.array([[0, 0, 0], [200, 30, 0], [255, 190, 0], [255, 255, 255]], np.float32)


def draw_map(image: np.ndarray, values: np.ndarray, **how: Any) -> np.ndarray:
    """A map over its image, what speaks for the answer alone: the more, the brighter.

    Args:
        image: (Y, X), or RGB (Y, X, 3) uint8.
        values: (Y, X); what is below 0 is not shown.
        how: see `overlay.draw_overlay`.

    Returns:
        RGB, uint8 (height, width, 3).
    """
    high = float(values.max())
    shares = np.clip(values / high, 0, 1) if high > 0 else np.zeros_like(values)
    at = np.linspace(0, 1, len(HOT))
    levels = (shares * 255).round().astype(np.uint8)
    below = draw_overlay(image, None, **how).astype(np.float32)
    share = draw_overlay(np.repeat(levels[..., None], 3, axis=2), None, **how)[..., :1] / 255.0
    hot = np.stack([np.interp(share[..., 0], at, HOT[:, one]) for one in range(3)], -1)
    # As strong as the map: where it says nothing the image is seen as it is.
    return (below + 0.8 * share**0.5 * (hot - below)).round().clip(0, 255).astype(np.uint8)
