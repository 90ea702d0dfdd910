"""Pictures of what was hidden of validation images, and of what a network made of it."""

from collections.abc import Sequence

import numpy as np
import torch

from medray.modalities.image.cases import Cases
from medray.modalities.image.overlay import Pixels, draw_overlay, encode_png
from medray.modalities.image.plan import ImagePlan
from medray.modalities.image.restored.judge import restored
from medray.models.base import Network
from medray.tasks.restoring import RestoringTask
from medray.tasks.section import Picture

SHOWN = 3  # cases
HEIGHT = 160  # of a plane, pixels
HIDDEN = (0, 114, 178)  # told from grey by everybody (after Okabe & Ito 2008)


def pictures(network: Network, cases: Cases, task: RestoringTask, plan: ImagePlan) -> list[Picture]:
    """A patch of some cases: as it is, as the network sees it, and with what it restored; of a
    volume its three middle planes, as stored."""
    chosen = np.linspace(0, len(cases) - 1, min(SHOWN, len(cases))).round().astype(int).tolist()
    return [_picture(network, cases, case, task, plan) for case in chosen]


def _picture(
    network: Network, cases: Cases, case: int, task: RestoringTask, plan: ImagePlan
) -> Picture:
    found = restored(network, cases, case, task, plan, torch.device("cpu"), "fp32")
    image, hidden, answer = found.images[0][0], found.hidden[0][0], found.answers[0][0]
    low, high = (float(one) for one in np.percentile(image, (1, 99)))

    def grey(values: np.ndarray) -> np.ndarray:
        scaled = np.clip((values - low) / max(high - low, 1e-6), 0, 1)
        return np.repeat((scaled * 255).round().astype(np.uint8)[..., None], 3, -1)

    seen = grey(image)
    seen[hidden] = HIDDEN
    shown = {
        "image": grey(image),
        "hidden": seen,
        "restored": grey(np.where(hidden, answer, image)),
    }
    spacing = plan.spacing_mm or cases.rows[case].get("spacing_mm") or (1.0,) * plan.dims
    error = float(np.abs(answer - image)[hidden].mean())
    return Picture(
        "restored",
        f"off by {error:.3f} deviations of the image, on average",
        [(cases.id(case), "")],
        panels=[(name, encode_png(_planes(one, spacing))) for name, one in shown.items()],
    )


def _planes(pixels: Pixels, spacing: Sequence[float]) -> Pixels:
    """One picture of RGB (*space, 3): itself, or the middle planes of a volume side by side."""
    axes = pixels.ndim - 1
    if axes == 2:
        return _drawn(pixels, spacing[0], spacing[1])
    planes = []
    for axis in range(axes):
        rows, columns = (spacing[one] for one in range(axes) if one != axis)
        planes.append(_drawn(pixels.take(pixels.shape[axis] // 2, axis), rows, columns))
    joined: Pixels = np.concatenate([one[: min(map(len, planes))] for one in planes], 1)
    return joined


def _drawn(plane: Pixels, rows_mm: float, columns_mm: float) -> Pixels:
    """A plane HEIGHT pixels high, but for rounding."""
    high, wide = plane.shape[0] * rows_mm, plane.shape[1] * columns_mm
    width = max(1, round(HEIGHT * wide / high))
    return draw_overlay(plane, None, spacing_mm=(rows_mm, columns_mm), width=width)
