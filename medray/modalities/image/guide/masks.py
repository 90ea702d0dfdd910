"""Which trainings are guided, and by which masks."""

from collections.abc import Sequence

from medray.errors import DataError, SpecError
from medray.modalities.image.guide import GUIDE, guided_by, require_guide
from medray.modalities.image.options import ImagePlanOptions
from medray.storage.catalog.datasets import Dataset
from medray.storage.shards.stored import Sliceable, Stored
from medray.tasks.base import Task


def require_places(given: ImagePlanOptions, task: Task) -> None:
    """Refuse what only masks have of tasks that answer otherwise.

    Raises:
        SpecError: a guide or a coarse grid is wanted, and the task draws no masks (code
            "no-masks").
    """
    wanted = [name for name in ("guide", "coarse") if getattr(given, name)]
    if wanted and task.answers != "place":
        raise SpecError(
            f"`{wanted[0]}` is for tasks that draw masks, {task.name} does not",
            code="no-masks",
            about=f"plan.{wanted[0]}",
            hint="leave it out",
        )


def guide_of(dataset: Dataset, indices: Sequence[int]) -> tuple[str, ...]:
    """Classes of the guides of some samples.

    Raises:
        DataError: one has none ("no-guide"), or the classes differ ("other-guide").
    """
    rows = dataset.samples.take(list(indices)).to_pylist()
    classes = guided_by(str(rows[0]["sample_id"]), rows[0])
    for row in rows:
        require_guide(str(row["sample_id"]), row, classes)
    return classes


def read_guide(stored: Stored, classes: tuple[str, ...], space: tuple[int, ...]) -> Sliceable:
    """A sample's guide, to be sliced.

    Args:
        stored: the sample.
        classes: that the network learnt with.
        space: shape of the image, spatial.

    Raises:
        DataError: it has none ("no-guide"), of other classes ("other-guide"), or of another size
            ("guide-geometry").
    """
    require_guide(stored.id, stored.row, classes)
    guide = stored.array(GUIDE)
    if tuple(guide.shape) != space:
        raise DataError(
            f"a guide of {tuple(guide.shape)} for an image of {space}",
            code="guide-geometry",
            about=stored.id,
            hint="predict this very image by the coarse model",
        )
    return guide
