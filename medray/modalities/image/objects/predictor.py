"""How a model of objects answers: boxes, in a column of the row."""

from collections.abc import Iterator, Sequence
from typing import cast

import numpy as np

from medray.modalities.image.objects.find import find
from medray.modalities.image.predictor import ImagePredictor
from medray.storage.shards.samples import Sample, Slabs
from medray.storage.shards.schema import Arrays
from medray.tasks.objects import ObjectTask


class ObjectPredictor(ImagePredictor):
    """How a model of objects answers: image by image, by windows."""

    @property
    def arrays(self) -> Arrays:
        """None."""
        return {}

    def compute(self, samples: Sequence[Sample]) -> Iterator[Sample]:
        """One output sample for each prepared one, in order; see ObjectTask.told."""
        for sample in samples:
            yield self._found(sample)

    def _found(self, sample: Sample) -> Sample:
        trained, asked = self.trained, self.asked
        task = cast("ObjectTask", trained.task)
        image = cast("Slabs", sample.arrays["image"])
        spacing = sample.row.get("spacing_mm")
        inner = self.plan.network_shape(image.shape[1:], spacing)
        found: np.ndarray = find(
            self.network,
            image,
            task,
            roi=self.plan.window(inner, self.network.divisor),
            overlap=asked.options.overlap,
            batch=asked.batch,
            mirror_axes=self.plan.mirror_axes if asked.options.tta else (),
            precision=asked.precision,
            network_shape=inner,
            device=trained.device,
        )
        return Sample(sample.id, sample.row | task.told(found, spacing))
