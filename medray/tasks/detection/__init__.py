"""Detection: which objects are in an image, each a box with a class and a score."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from torch import Tensor

from medray.errors import DataError, SpecError
from medray.formats.imaging.objects import OBJECTS, Object
from medray.storage.shards.holds import Needs, names
from medray.storage.shards.samples import Sample
from medray.tasks.detection.centres import centre_loss, middles, peaks
from medray.tasks.detection.merging import merged
from medray.tasks.detection.options import DetectionOptions, boxes
from medray.tasks.detection.page import section
from medray.tasks.detection.scoring import compared, overlaps_of, rows_of, summary
from medray.tasks.detection.validation import BINS, histogram, summary_of
from medray.tasks.metric import Metric
from medray.tasks.metrics.bootstrap import Bootstrap
from medray.tasks.objects import Compared, ObjectTask
from medray.tasks.section import ScoredCases, Section


class Detection(ObjectTask):
    """Centres by a focal loss, boxes by 1 - GIoU; see medray.tasks.detection.centres."""

    Options: ClassVar[type[DetectionOptions]] = DetectionOptions
    name: ClassVar[str] = "detection"
    metric: ClassVar[str] = "val_map50"
    metrics: ClassVar[Mapping[str, Metric]] = {
        "map50": Metric("mAP50", headline=True, per_case=False),
        "map50_95": Metric("mAP50-95", headline=True, per_case=False),
        "froc": Metric("FROC, mean sensitivity", headline=True, per_case=False),
        "called_at": Metric("score of a call", per_class=False, per_case=False),
        "true": Metric("objects", kind="count"),
        "found": Metric("found", kind="count"),
        "missed": Metric("missed", higher_is_better=False, kind="count"),
        "false": Metric("false alarms", higher_is_better=False, kind="count"),
    }

    def __init__(
        self, options: DetectionOptions, frequencies: Sequence[float] | None = None
    ) -> None:
        super().__init__(options, frequencies)
        self.options = options
        told = options.called_at
        if not isinstance(told, str) and len(told) != len(options.classes):
            raise SpecError(
                f"{len(told)} scores for {len(options.classes)} classes",
                code="bad-field",
                about="called_at",
                hint="give one for each class",
            )

    @property
    def classes(self) -> tuple[str, ...]:
        """See Task."""
        return self.options.classes

    @property
    def needs(self) -> Needs:
        """Objects."""
        return Needs(columns=names(OBJECTS))

    def boxes(self, row: Mapping[str, Any], axes: int) -> np.ndarray:
        """See ObjectTask and `boxes`."""
        return boxes(row, self.classes, axes)

    def loss(self, outputs: Any, target: Any) -> Tensor:
        """See `centre_loss`."""
        return centre_loss(outputs, target, self.options.box_weight)

    def probabilities(self, logits: Tensor) -> Tensor:
        """As they are: boxes are read of logits."""
        return logits

    def found(self, maps: Tensor) -> list[np.ndarray]:
        """See ObjectTask."""
        return peaks(maps, self.options.least_score, self.options.most)

    def regions(self, logits: Tensor) -> Tensor:
        """See ObjectTask: the middles of objects, from the score of a call on."""
        scores = [self.options.calls_at(kind) for kind in range(len(self.classes))]
        return middles(logits[:, : len(scores)], scores)

    def sure(self, logits: Tensor) -> Tensor:
        """See Places: the scores of objects; of edges nothing that is asked for."""
        return logits.sigmoid()

    def merged(self, found: np.ndarray) -> np.ndarray:
        """See ObjectTask."""
        options = self.options
        return merged(found, options.merge_overlap, options.merge, options.most)

    def told(self, found: np.ndarray, spacing_mm: Sequence[float] | None) -> dict[str, Any]:
        """See ObjectTask: `objects` with `class`, `begin` and `end` in voxels, `score`, `called`,
        and `size_mm` where the image's grid is known."""
        axes = (found.shape[1] - 2) // 2
        objects = []
        for one in found.astype(np.float64).round(4).tolist():
            kind, begin, end = int(one[-1]), tuple(one[:axes]), tuple(one[axes:-2])
            called = one[-2] >= self.options.calls_at(kind)
            made = Object(self.classes[kind], begin, end, one[-2], called=called).told
            if spacing_mm:
                edges = zip(made["begin"], made["end"], spacing_mm, strict=True)
                made["size_mm"] = [round((end - begin) * mm, 4) for begin, end, mm in edges]
            objects.append(made)
        return {OBJECTS: objects}

    @property
    def columns(self) -> int:
        """Of each class its objects, and histograms of scores: hits and false alarms, twice."""
        return len(self.classes) * (1 + 4 * BINS)

    def judge(self, answer: np.ndarray, truth: np.ndarray | None) -> list[float]:
        """Counts that add up over images.

        Args:
            answer: (objects, 2 * axes + 2), as `found` has it, in voxels.
            truth: as `boxes` has it.
        """
        if truth is None:
            raise DataError("the case has no objects", code="no-objects")
        row: list[float] = []
        for kind in range(len(self.classes)):
            some, real = answer[answer[:, -1] == kind], truth[truth[:, -2] == kind]
            row += histogram(
                some[:, -2], overlaps_of(some[:, :-2], real), real[:, -1], self.options.froc_overlap
            )
        return row

    def summarise(self, table: np.ndarray, targets: np.ndarray | None) -> dict[str, float]:
        """`val_map50` and `val_froc`, of scores in a hundredth's steps, of each class too, and
        `val_called_at_<class>`, the score of the highest F1."""
        return summary_of(table, self.classes)

    @property
    def validates(self) -> frozenset[str]:
        """See Task."""
        ends = ["", *(f"_{name}" for name in self.classes if len(self.classes) > 1)]
        return frozenset(f"val_{one}{of}" for one in ("map50", "froc") for of in ends)

    def chosen(self, metrics: dict[str, float]) -> dict[str, Any]:
        """The score of a call of each class, by the validation."""
        found = [metrics.get(f"val_called_at_{name}") for name in self.classes]
        if self.options.called_at != "validation" or None in found:
            return {}
        return {"called_at": found}

    def describe(self) -> list[str]:
        """When an object is called."""
        told = self.options.called_at
        if isinstance(told, str):
            return []
        each = zip(self.classes, told, strict=True)
        named = ", ".join(f"{name} {score:.2f}" for name, score in each)
        return [f"objects are called from these scores on: {named}"]

    def score(self, truth: Sample, prediction: Sample | None) -> list[dict[str, Any]]:
        """A row per class; see medray.tasks.detection.scoring."""
        return rows_of(self.options, truth.row, None if prediction is None else prediction.row)

    def conclude(self, cases: pa.Table, bootstrap: Bootstrap) -> dict[str, Any]:
        """See medray.tasks.detection.scoring."""
        return summary(cases, self.classes, bootstrap)

    def compared(self, truth: Mapping[str, Any], answer: Mapping[str, Any]) -> list[Compared]:
        """See ObjectTask; by the prediction's own calls, at an overlap of a half."""
        return compared(self.options, truth, answer)

    def section(self, scores: ScoredCases) -> Section:
        """See medray.tasks.detection.page."""
        return section(super().section(scores), scores, self.options)
