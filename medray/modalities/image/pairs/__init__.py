"""Images without targets, each seen twice; torch is loaded where they are drawn."""

from typing import TYPE_CHECKING, Any

from medray.data.order import Order

if TYPE_CHECKING:
    from medray.modalities.image.cases import Cases
    from medray.modalities.image.loader import Loader
    from medray.modalities.image.plan import ImagePlan
    from medray.tasks.base import Task


class Pairs:
    """What images are to trainings with samples without targets; see Modality."""

    def takes_unlabelled(self, task: "Task") -> bool:
        """Whole images, and voxels; not boxes."""
        return task.answers in ("sample", "place")

    def seen_twice(self, cases: "Cases", order: Order, plan: "ImagePlan", *more: Any) -> "Loader":
        """See medray.modalities.image.pairs.loader."""
        from medray.modalities.image.pairs.loader import PairLoader

        return PairLoader.of(cases, order, plan, *more)
