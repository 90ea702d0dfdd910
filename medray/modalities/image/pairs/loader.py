"""Batches of images without targets, each seen twice."""

from dataclasses import replace
from typing import Self

import torch

from medray.data.batch import Batch, Views
from medray.data.chance import Chance
from medray.data.order import Order, seed_of
from medray.errors import SpecError
from medray.modalities.image.augment import ImageAugment
from medray.modalities.image.cases import Cases
from medray.modalities.image.loader import Loader, Raw
from medray.modalities.image.plan import ImagePlan
from medray.spec.training import TrainSettings
from medray.tasks.base import Task

SECOND = 1  # of a sample's seeds: that of its second view


class PairLoader(Loader):
    """Of each image two views, (B, C, *patch) each: patches lie in the same place, are turned alike
    and differ in noise; of whole images each is augmented by itself."""

    labelled = False

    @classmethod
    def of(
        cls,
        cases: Cases,
        order: Order,
        plan: ImagePlan,
        task: Task,
        settings: TrainSettings,
        share: tuple[int, int],
        device: torch.device,
    ) -> Self:
        """See Modality.seen_twice.

        Raises:
            SpecError: images have other channels than those with targets (code "channel-mismatch").
        """
        counts = {cases.dataset.array(at, "image").shape[0] for at in cases.indices}
        if others := counts - {cases.channels}:
            raise SpecError(
                f"images without targets have {min(others)} channels, others {cases.channels}",
                code="channel-mismatch",
                about=cases.dataset.reference,
                hint="select images of the same kind",
            )
        augment = settings.augment
        return cls(
            cases,
            order,
            plan.patch,
            targets=None if task.answers == "place" else torch.zeros(len(cases)),
            augment=None if augment is None else ImageAugment.model_validate(augment),
            rank=share[0],
            size=share[1],
            device=device,
            prefetch=settings.prefetch,
            channels_last=settings.channels_last,
        )

    def _finish(self, step: int, raws: list[Raw]) -> Batch:
        first, second = (self.images(some)[0] for some in (raws, [self._twin(one) for one in raws]))
        return Batch(step, (), Views(first, second))

    def _twin(self, raw: Raw) -> Raw:
        draw = replace(raw.draw, seed=seed_of(raw.draw.seed, SECOND))
        if self.whole:
            return self.read(draw)
        return replace(raw, draw=draw, chance=Chance(draw.seed))
