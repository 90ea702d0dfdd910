"""The samples of a split with their boxes."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from medray.modalities.image.cases import Cases
from medray.modalities.image.normalise import ChannelNorm
from medray.storage.catalog.datasets import Dataset
from medray.tasks.objects import ObjectTask


class ObjectCases(Cases):
    """Images, and the objects in each. Arguments as of `Cases`.

    Args:
        task: says what is an object.

    Raises:
        DataError: a sample's objects are not known, or none of the task's (see ObjectTask.boxes).
    """

    def __init__(
        self,
        dataset: Dataset,
        indices: Sequence[int],
        channels: Sequence[ChannelNorm],
        task: ObjectTask,
        *,
        dims: int,
        **options: Any,
    ) -> None:
        super().__init__(dataset, indices, channels, dims=dims, **options)
        self.boxes = [task.boxes(row, dims) for row in self.rows]
        self._kinds = len(task.classes)

    @property
    def most(self) -> int:
        """Objects of the image that has most."""
        return max(1, *(len(one) for one in self.boxes))

    def foreground(self, case: int) -> list[np.ndarray]:
        """Of each class the voxels in the middle of its objects: (objects, axes)."""
        boxes, axes = self.boxes[case], len(self.shapes[case])
        middle = ((boxes[:, :axes] + boxes[:, axes:-2]) / 2).astype(np.int32)
        return [middle[boxes[:, -2] == kind] for kind in range(self._kinds)]
