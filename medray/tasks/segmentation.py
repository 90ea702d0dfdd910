"""Segmentation: one class for every voxel."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field
from torch import Tensor

from medray.errors import DataError, SpecError
from medray.models.base import Answers, Logits
from medray.spec.base import Settings
from medray.storage.shards.samples import Sample
from medray.storage.shards.stored import Stored
from medray.tasks.base import Task, whole
from medray.tasks.masks.parts import Rule, keep_parts, most_probable
from medray.tasks.masks.voxel_loss import DeepLoss, RegionLoss, VoxelLoss, VoxelLossOptions
from medray.tasks.metric import Metric
from medray.tasks.metrics.bootstrap import Bootstrap
from medray.tasks.metrics.overlap import confusion, overlap
from medray.tasks.metrics.segmentation import score_segmentation, summarise_segmentation
from medray.tasks.metrics.volumes import volume_figures
from medray.tasks.section import CASE, Picture, ScoredCases, Section, Table, dots, picked

GAIN = "val_gain_largest"
DOTS = "Every dot is a case; the bar above them spans the quartiles, its dot is the median."
DOTTED = (("Dice of each case", "Dice", "dice"), ("HD95 of each case", "mm", "hd95_mm"))
DEFINED = (
    "HD95 is the larger of the two directed 95th percentiles of the distances between surfaces, in "
    "mm, each surface voxel weighing the area it carries. Where a structure is missed or invented, "
    "Dice and surface Dice are 0 and HD95 is the diagonal of the volume; where it is in neither "
    "mask (absent) the case is left out of that mean and counted. Surface Dice has a tolerance of "
    "1 mm unless the job says otherwise."
)


class Region(Settings):
    """Classes that are learnt as one; regions may overlap."""

    name: str
    classes: tuple[str, ...] = Field(min_length=1, description="that it is made of")
    paints: str = Field(description="class that a mask gets where the region is found")


class Segmentation(Task):
    """Dice and cross-entropy (Isensee et al. 2021), focal on request (Lin et al. 2017)."""

    class Options(VoxelLossOptions):
        """What can be chosen."""

        classes: tuple[str, ...] = Field(min_length=2, description="of labels 0, 1, …")
        ignore: bool = Field(
            False,
            description="labels hold one value more, behind those of the classes: its voxels take "
            "no part in loss and scores (nnU-Net's label `ignore`)",
        )
        regions: tuple[Region, ...] = Field(
            (),
            description="learnt in place of the classes, by a sigmoid each; later ones are painted "
            "over earlier ones (nnU-Net's `regions_class_order`)",
        )
        keep_largest: Literal["validation"] | tuple[str, ...] = Field(
            "validation",
            description="classes of which only the largest connected part is kept, `*` for all "
            "taken together; validation: those whose Dice in the validation it raises",
        )
        min_voxels: int = Field(0, ge=0, description="connected parts below this are removed")

    name: ClassVar[str] = "segmentation"
    answers: ClassVar[Answers] = "place"
    over: ClassVar[frozenset[str]] = frozenset({"space"})
    metric: ClassVar[str] = "val_dice"
    metrics: ClassVar[Mapping[str, Metric]] = {
        "dice": Metric("Dice", headline=True),
        "hd95_mm": Metric("HD95, mm", higher_is_better=False, digits=2, headline=True),
        "surface_dice": Metric("surface Dice", headline=True),
        "sensitivity": Metric("sensitivity"),
        "precision": Metric("precision"),
        "lesion_f1": Metric("lesion F1"),
        "iou": Metric("IoU", per_class=False, per_case=False),
        "voxel_error": Metric(
            "wrong voxels", higher_is_better=False, headline=True, per_class=False, per_case=False
        ),
        "actual_ml": Metric("truth, ml", digits=2),
        "predicted_ml": Metric("predicted, ml", digits=2),
        "lesions_found": Metric("lesions found", kind="count"),
        "lesions_false": Metric("false", higher_is_better=False, kind="count"),
        "lesions_missed": Metric("missed", higher_is_better=False, kind="count"),
        "gain_largest": Metric("gain by the largest part alone"),
    }

    def __init__(self, options: Options, frequencies: Sequence[float] | None = None) -> None:
        super().__init__(options, frequencies)
        self.options = options
        self.ignored = options.ignore
        _require_classes(options)
        strange = set(options.keep_largest) - {"*", *options.classes[1:]}
        if options.keep_largest != "validation" and strange:
            raise SpecError(
                f"{min(strange)!r} is no class",
                code="unknown-class",
                about="keep_largest",
                hint=f"*, {', '.join(options.classes[1:])}",
            )
        self._loss: DeepLoss
        self.exclusive = not options.regions
        if options.regions:
            self.channel_threshold = 0.5
            labels = [[options.classes.index(c) for c in one.classes] for one in options.regions]
            ignored = len(options.classes) if self.ignored else None
            self._loss = RegionLoss(options, labels, ignored)
        else:
            self._loss = VoxelLoss(options, len(options.classes), frequencies, ignored=self.ignored)

    @property
    def classes(self) -> tuple[str, ...]:
        """See Task."""
        return self.options.classes

    @property
    def channels(self) -> tuple[str, ...]:
        """See Places: the regions, where there are some."""
        return tuple(one.name for one in self.options.regions) or self.classes

    @property
    def paints(self) -> tuple[int, ...]:
        """See Places."""
        regions = self.options.regions
        return tuple(self.classes.index(one.paints) for one in regions) or super().paints

    def targets(self, rows: Sequence[dict[str, Any]]) -> Tensor | None:
        """None: the target is the label array."""
        return None

    def loss(self, outputs: Logits, target: Tensor) -> Tensor:
        """See medray.tasks.masks.voxel_loss."""
        return self._loss(outputs, target)

    def probabilities(self, logits: Tensor) -> Tensor:
        """Softmax over the classes, or a sigmoid of each region."""
        return logits.float().sigmoid() if self.options.regions else logits.float().softmax(1)

    def logits(self, probabilities: Tensor) -> Tensor:
        """See Places."""
        return probabilities.logit(1e-6) if self.options.regions else super().logits(probabilities)

    @property
    def columns(self) -> int:
        """Dice of each class but the background; also of each way to keep its largest part."""
        ways = 4 if self.options.keep_largest == "validation" else 1
        return ways * (len(self.classes) - 1)

    def judge(self, answer: np.ndarray, truth: np.ndarray | None) -> list[float]:
        """Dice of each class but the background; NaN where neither mask has it.

        Where the validation chooses, also with the largest part of all classes kept, then of each
        class, then of each class behind that of all.
        """
        truth = _present(truth)
        dices = self._dices(answer, truth)
        if self.options.keep_largest == "validation":
            names = self.classes[1:]
            together = self._kept(answer, ("*",))
            alone = together if len(names) == 1 else self._kept(answer, names)
            behind = together if len(names) == 1 else self._kept(together, names)
            for mask in (together, alone, behind):
                dices += self._dices(mask, truth)
        return dices

    def _dices(self, answer: np.ndarray, truth: np.ndarray) -> list[float]:
        if self.ignored:
            known = truth < len(self.classes)
            answer, truth = answer[known], truth[known]
        counts = confusion(answer, truth, len(self.classes))
        dices = [overlap(counts, label).dice for label in range(1, len(self.classes))]
        return [float("nan") if dice is None else dice for dice in dices]

    def summarise(self, table: np.ndarray, targets: np.ndarray | None) -> dict[str, float]:
        """`val_dice`, the mean over classes of the mean over cases, and it of each class.

        Where keeping largest parts only raises it, also by how much: `val_gain_largest` of all
        classes taken together, and then `val_gain_largest_<class>`, as nnU-Net chooses (Isensee et
        al. 2021).
        """
        ways = [
            _means(part) for part in np.split(table, len(table[0]) // (len(self.classes) - 1), 1)
        ]
        metrics = {"val_dice": _mean(ways[0])}
        for name, mean in zip(self.classes[1:], ways[0], strict=True):
            metrics[f"val_dice_{name}"] = float(mean)
        if len(ways) == 1:
            return metrics
        plain, together, alone, behind = ways
        if _mean(together) > _mean(plain):
            metrics[GAIN] = _mean(together) - _mean(plain)
            plain, alone = together, behind
        for name, before, after in zip(self.classes[1:], plain, alone, strict=True):
            if after > before:
                metrics[f"{GAIN}_{name}"] = float(after - before)
        return metrics

    @property
    def validates(self) -> frozenset[str]:
        """See Task."""
        return frozenset({"val_dice", *(f"val_dice_{name}" for name in self.classes[1:])})

    @property
    def across(self) -> bool:
        """See Task; nnU-Net chooses by all that was held out in turn, too."""
        return self.options.keep_largest == "validation"

    def chosen(self, metrics: dict[str, float]) -> dict[str, Any]:
        """Which largest parts are kept, by the gains in the validation."""
        if self.options.keep_largest != "validation":
            return {}
        names = [name for name in self.classes[1:] if f"{GAIN}_{name}" in metrics]
        return {"keep_largest": ["*"] * (GAIN in metrics) + names}

    def describe(self) -> list[str]:
        """What is done to masks."""
        options, lines = self.options, []
        if isinstance(options.keep_largest, tuple) and options.keep_largest:
            names = ["all classes together" if n == "*" else n for n in options.keep_largest]
            lines.append(f"of {', then of '.join(names)} only the largest connected part is kept")
        if options.min_voxels:
            lines.append(f"connected parts below {options.min_voxels} voxels are removed")
        return lines

    def wants(self, truth: bool) -> tuple[str, ...]:
        """A mask, or what one can be made of."""
        return ("label",) if truth else ("label", "probability")

    def given(self, prediction: Stored) -> Sample:
        """With its mask; of probabilities that of the most probable classes, postprocessed."""
        if "label" in prediction.names or "probability" not in prediction.names:
            return super().given(prediction)
        probability = prediction.array("probability")
        if self.channel_threshold is None:
            label = most_probable(probability)
        else:
            label = self.painted(np.asarray(probability[...]) > self.channel_threshold)
        mask = np.concatenate(list(self.postprocess([label])))
        return Sample(prediction.id, dict(prediction.row), {"label": mask})

    def score(self, truth: Sample, prediction: Sample | None) -> list[dict[str, Any]]:
        """A row per class but the background; see medray.tasks.metrics.segmentation."""
        actual = whole(truth, "label")
        predicted = None if prediction is None else whole(prediction, "label")
        spacing = tuple(truth.row.get("spacing_mm") or [1.0] * actual.ndim)
        if not self.ignored:
            return score_segmentation(predicted, actual, spacing, self.classes)
        known = actual < len(self.classes)
        # As background in both, they are neither right nor wrong, and surfaces end at their rim.
        actual = actual * known
        if predicted is not None and predicted.shape == known.shape:
            predicted = predicted * known
        rows = score_segmentation(predicted, actual, spacing, self.classes)
        for row in rows if predicted is not None else []:
            row["voxel_error"] *= known.size / max(1, int(known.sum()))
        return rows

    def conclude(self, cases: pa.Table, bootstrap: Bootstrap) -> dict[str, Any]:
        """See Task."""
        return summarise_segmentation(cases, bootstrap)

    def section(self, scores: ScoredCases) -> Section:
        """Every case as a dot, and the best, the median and the worst one as pictures."""
        columns = {"class": CASE["class"], **{n: self.metrics[n] for n in ("dice", "hd95_mm")}}
        pictures = [
            Picture(
                title,
                f"mean Dice {dice:.3f}",
                [(case, "")],
                Table(columns, [row for row in scores.cases if row["case"] == case]),
            )
            for title, case, dice in picked(scores.cases, "dice", self.metrics["dice"])
        ]
        figures = [dots(title, unit, scores.cases, name) for title, unit, name in DOTTED]
        figures += volume_figures(scores.cases)
        made = super().section(scores)
        return replace(
            made, figures=figures, notes=[DOTS], pictures=pictures, definitions=[DEFINED]
        )

    def postprocess(self, slabs: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Remove connected parts that the options don't keep; see `parts.keep_parts`."""
        named = self.options.keep_largest
        if isinstance(named, tuple) and "*" in named:
            slabs = keep_parts(slabs, [Rule(None, largest=True)])
        rules = [
            Rule(label, largest=isinstance(named, tuple) and name in named, least=least)
            for least in (self.options.min_voxels,)
            for label, name in enumerate(self.classes[1:], start=1)
            if least or name in named
        ]
        yield from keep_parts(slabs, rules) if rules else slabs

    def _kept(self, labels: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
        options = self.options.model_copy(update={"keep_largest": names, "min_voxels": 0})
        return np.concatenate(list(Segmentation(options).postprocess([labels])))


def _require_classes(options: Segmentation.Options) -> None:
    """Refuse regions of what is no class, and with them what is of classes that exclude each other.

    Raises:
        SpecError: there is such a one ("unknown-class", "region-options").
    """
    for at, region in enumerate(options.regions):
        strange = {*region.classes, region.paints} - set(options.classes)
        if strange:
            raise SpecError(
                f"{min(strange)!r} is no class",
                code="unknown-class",
                about=f"regions.{at}",
                hint=", ".join(options.classes),
            )
    if options.regions:
        for name in ("dice_background", "focal_gamma", "class_weights", "label_smoothing"):
            if getattr(options, name) != type(options).model_fields[name].default:
                raise SpecError(
                    "regions may overlap: this option is of classes that exclude each other",
                    code="region-options",
                    about=name,
                    hint="leave it out, or learn classes",
                )


def _means(part: np.ndarray) -> np.ndarray:
    """Of each class over the cases that have it; NaN where none has."""
    known = ~np.isnan(part)
    total, cases = np.where(known, part, 0).sum(0), known.sum(0)
    means: np.ndarray = np.full(len(total), np.nan)
    np.divide(total, cases, out=means, where=cases > 0)
    return means


def _mean(means: np.ndarray) -> float:
    found = means[~np.isnan(means)]
    return float(found.mean()) if found.size else float("nan")


def _present(truth: np.ndarray | None) -> np.ndarray:
    if truth is None:
        raise DataError("the case has no label", code="no-label", hint="select labelled samples")
    return truth
