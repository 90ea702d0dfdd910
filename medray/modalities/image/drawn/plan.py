"""What of a plan matters where images are drawn: that intensities have a way back."""

from collections.abc import Sequence

from medray.errors import SpecError
from medray.modalities.image.options import ImagePlanOptions
from medray.modalities.image.plan import Stored


def alike(given: ImagePlanOptions) -> ImagePlanOptions:
    """What the job fixes; where it is silent, images are normalised by the whole data set.

    Raises:
        SpecError: it has each normalised by itself, of which there is no way back (code
            "no-common-scale").
    """
    own = given.normalise == "zscore" or any(c.scheme == "zscore" for c in given.channels or ())
    if own:
        raise SpecError(
            "intensities of images that are normalised by themselves have no common scale, so none "
            "can be drawn",
            code="no-common-scale",
            about="plan.normalise",
            hint="take `dataset`, or `ct`",
        )
    if given.normalise is None and given.channels is None:
        return given.model_copy(update={"normalise": "dataset"})
    return given


def stored_as(dtype: str, spacings: Sequence[tuple[float, ...] | None]) -> Stored:
    """As what drawn images are stored.

    Args:
        dtype: of the real ones.
        spacings: of the real ones, millimetres.
    """
    return Stored(dtype=dtype, spacing_mm=spacings[0] if len(set(spacings)) == 1 else None)
