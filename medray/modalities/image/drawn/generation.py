"""New images: how they are drawn, and as what they are stored."""

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, cast

import numpy as np
from pydantic import Field

from medray.data.order import seed_of
from medray.formats.imaging.values import SYNTHETIC
from medray.modalities.generation import GenerateOptions, Generation, Model
from medray.modalities.image.drawn.judge import made
from medray.modalities.image.normalise import restored
from medray.modalities.image.plan import ImagePlan, Stored
from medray.storage.catalog.datasets import Dataset
from medray.storage.shards.forms.ome import IMAGE
from medray.storage.shards.holds import Holds, names
from medray.storage.shards.reader import Shard
from medray.storage.shards.samples import Sample
from medray.storage.shards.schema import Arrays
from medray.tasks.base import Task
from medray.tasks.section import Section

TOGETHER = 64


class ImageGenerateOptions(GenerateOptions):
    """How new images are drawn."""

    shares: tuple[float, ...] | None = Field(
        None, description="of the classes among what is drawn; null: as they were learnt"
    )


class NewImages(Generation):
    """Images of the size of the plan's patch, with the intensities and the type of the real ones.

    A row says that its image is `synthetic`, for ever; each is a subject of its own, and of the
    split `train`, so that nothing is ever validated or scored on what was made up.
    """

    Options: ClassVar[type[GenerateOptions]] = ImageGenerateOptions
    answers: ClassVar[str] = "image"
    holds: ClassVar[Holds] = Holds(names("image"), splits=names("train"))
    arrays: ClassVar[Arrays] = {"image": IMAGE}
    compares: ClassVar[bool] = True

    def draw(self, model: Model, options: Any, drawn: range, seed: int) -> Iterator[Sample]:
        """See Generation."""
        plan = cast("ImagePlan", model.plan)
        known = cast("Stored", plan.stored)
        shares = np.asarray(options.shares or plan.frequencies, np.float64)
        bounds = shares.cumsum() / shares.sum()
        for start in range(drawn.start, drawn.stop, TOGETHER):
            numbers = range(start, min(start + TOGETHER, drawn.stop))
            seeds = [seed_of(seed, number) for number in numbers]
            # Noise comes from the seed itself, so the class comes from another stream.
            chances = [np.random.Generator(np.random.Philox(key=seed_of(one, 1))) for one in seeds]
            kinds = [int(np.searchsorted(bounds, one.random(), "right")) for one in chances]
            kinds = [min(kind, len(bounds) - 1) for kind in kinds]
            images = made(model.network, seeds, kinds, model.device)
            for number, kind, image in zip(numbers, kinds, images, strict=True):
                name = f"synthetic-{number:08d}"
                row = {"subject": name, "split": "train", SYNTHETIC: True}
                row |= model.task.drawn(kind)
                if known.spacing_mm is not None:
                    row["spacing_mm"] = list(known.spacing_mm)
                yield Sample(name, row, {"image": restored(image, plan.channels, known.dtype)})

    def appraise(
        self,
        drawn: Sequence[Shard],
        plan: Any,
        task: Task,
        learnt: Dataset,
        indices: Sequence[int],
        seed: int,
        features: Model | None,
    ) -> dict[str, Any]:
        """See medray.modalities.image.drawn.appraisal."""
        from medray.modalities.image.drawn.appraisal import appraise

        return appraise(drawn, plan, task, learnt, indices, seed, features)

    def section(self, drawn: Dataset, summary: dict[str, Any]) -> Section:
        """See medray.modalities.image.drawn.page."""
        from medray.modalities.image.drawn.page import section

        return section(drawn, summary)
