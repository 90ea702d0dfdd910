"""What tasks of objects add to the contract: boxes in, boxes out."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from torch import Tensor

from medray.models.base import Answers
from medray.tasks.base import Task


@dataclass(frozen=True)
class Compared:
    """An object, or what was taken for one.

    Args:
        kind: its class.
        begin: where it begins along each axis, in voxels.
        end: where it ends.
        what: `false` of what is none; `right` of a box that finds an object.
    """

    kind: str
    begin: tuple[float, ...]
    end: tuple[float, ...]
    what: Literal["found", "missed", "right", "false"]


class ObjectTask(Task):
    """A task whose samples hold objects, each a box.

    A box is a row of numbers: where it begins along each axis, where it ends, and two more.
    """

    answers: ClassVar[Answers] = "objects"
    over: ClassVar[frozenset[str]] = frozenset({"space"})

    def targets(self, rows: Sequence[dict[str, Any]]) -> Tensor | None:
        """None: the target is made of boxes, and of where a patch lies."""
        return None

    @abstractmethod
    def boxes(self, row: Mapping[str, Any], axes: int) -> np.ndarray:
        """The truth of a row, float32 (objects, 2 * axes + 2): edges in voxels, class, and 0 or why
        it need not be found (medray.tasks.metrics.detection).

        Raises:
            DataError: its objects are not known, can't be read, or are none of the task's.
        """

    @abstractmethod
    def found(self, maps: Tensor) -> list[np.ndarray]:
        """What a network's maps (B, channels, *cells) show of each sample, float32
        (objects, 2 * axes + 2): edges in cells, score, class."""

    @property
    def findings(self) -> tuple[int, ...]:
        """See Places: all classes."""
        return tuple(range(len(self.classes)))

    @abstractmethod
    def regions(self, logits: Tensor) -> Tensor:
        """See Places: the cells of a network's maps in which an object of the class is called."""

    @abstractmethod
    def merged(self, found: np.ndarray) -> np.ndarray:
        """Of all that was found in an image one box for each object, highest score first."""

    @abstractmethod
    def told(self, found: np.ndarray, spacing_mm: Sequence[float] | None) -> dict[str, Any]:
        """Columns of a prediction's row.

        Args:
            found: with edges in voxels of the image.
            spacing_mm: of the image; None: not known.
        """

    @abstractmethod
    def compared(self, truth: Mapping[str, Any], answer: Mapping[str, Any]) -> list[Compared]:
        """What a page draws of an image: its objects, found or missed, and false alarms.

        Args:
            truth: its row.
            answer: of the prediction.
        """
