"""A cascade: what a coarse network has drawn guides a fine one, as further channels of images."""

from collections.abc import Mapping
from typing import Any

from medray.errors import DataError

GUIDE = "guide"
"""Array of a sample: a mask of its image, by a network that has not learnt from it."""
GUIDE_CLASSES = "guide_classes"
"""Column: names of the guide's values 0, 1, …; the first of them is no channel."""


def guided_by(about: str, row: Mapping[str, Any]) -> tuple[str, ...]:
    """Classes of a sample's guide.

    Args:
        about: the sample's id.
        row: of the sample.

    Raises:
        DataError: it has none (code "no-guide").
    """
    classes = row.get(GUIDE_CLASSES)
    if not classes:
        raise DataError(
            "the sample has no guide",
            code="no-guide",
            about=about,
            hint="put masks of a coarse network beside the images: `kind: transform` with "
            "`operation: {name: cascade}`",
        )
    return tuple(str(one) for one in classes)


def require_guide(about: str, row: Mapping[str, Any], wanted: tuple[str, ...]) -> None:
    """Refuse a sample whose guide is not as those that a network learnt with.

    Raises:
        DataError: it has none ("no-guide"), or its classes are others ("other-guide").
    """
    found = guided_by(about, row)
    if found != wanted:
        raise DataError(
            f"the guide's classes are {', '.join(found)}, the network's {', '.join(wanted)}",
            code="other-guide",
            about=about,
            hint="take masks of the model whose masks it was trained with",
        )
