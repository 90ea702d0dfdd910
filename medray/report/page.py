"""The page: one HTML file from a Report, with nothing loaded from elsewhere."""

import base64
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from medray.modalities.image.overlay import COLOURS
from medray.report import figures, qc
from medray.report.content import Report, Scores, Training
from medray.tasks.metrics.bootstrap import LEAST_SUBJECTS

_LABELS = {
    "dice": "Dice",
    "hd95_mm": "HD95, mm",
    "surface_dice": "surface Dice",
    "iou": "IoU",
    "lesion_f1": "lesion F1",
    "voxel_error": "wrong voxels",
    "auroc": "AUROC",
    "average_precision": "average precision",
    "mcc": "MCC",
    "brier": "Brier score",
    "ece": "calibration error",
    "actual_ml": "truth, ml",
    "predicted_ml": "predicted, ml",
    "actual_voxels": "truth, voxels",
    "predicted_voxels": "predicted, voxels",
    "actual_class": "truth",
    "called_class": "called",
    "lesions_found": "lesions found",
    "lesions_false": "false",
    "lesions_missed": "missed",
    "r2": "R²",
    "pearson": "Pearson r",
    "spearman": "Spearman r",
    "rmse": "RMSE",
    "mae": "MAE",
    "f1": "F1",
    "auroc_per_sample": "AUROC, mean of samples",
    "average_precision_per_sample": "average precision, mean of samples",
    "f1_per_sample": "F1, mean of samples",
}
_HEADLINES = {
    "segmentation": ("dice", "hd95_mm", "surface_dice", "voxel_error"),
    "classification": ("auroc", "accuracy", "mcc", "sensitivity", "specificity"),
    "regression": ("r2", "pearson", "spearman", "rmse"),
    "tagging": ("auroc", "average_precision", "f1", "auroc_per_sample"),
}
_CLASS_COLUMNS = {
    "segmentation": (
        "dice",
        "hd95_mm",
        "surface_dice",
        "sensitivity",
        "precision",
        "lesion_f1",
    ),
    "classification": (
        "auroc",
        "average_precision",
        "accuracy",
        "mcc",
        "sensitivity",
        "specificity",
        "brier",
        "ece",
    ),
    "regression": ("r2", "pearson", "spearman", "rmse", "mae"),
    "tagging": (
        "auroc",
        "average_precision",
        "f1",
        "auroc_per_sample",
        "average_precision_per_sample",
        "f1_per_sample",
    ),
}
_CASE_COLUMNS = {
    "segmentation": (
        "case",
        "class",
        "status",
        "dice",
        "hd95_mm",
        "surface_dice",
        "sensitivity",
        "precision",
        "actual_ml",
        "predicted_ml",
        "lesions_found",
        "lesions_false",
        "lesions_missed",
    ),
    "classification": ("case", "status", "actual_class", "called_class", "error"),
    "regression": ("case", "status", "error"),
    "tagging": ("case", "status", "bases"),
}
_WORST_COLUMNS = {
    "segmentation": ("case", "class", "status", "dice", "hd95_mm", "surface_dice"),
    "classification": _CASE_COLUMNS["classification"],
    "regression": _CASE_COLUMNS["regression"],
    "tagging": _CASE_COLUMNS["tagging"],
}
_TEXT = ("case", "class", "status", "actual_class", "called_class")
_COUNTS = ("lesions_found", "lesions_false", "lesions_missed", "bases")
_BAD = ("no-prediction", "failed", "interrupted")
_GOOD = ("scored", "complete")
_UNREMARKABLE = ("absent",)


def render(report: Report) -> str:
    """The whole page as HTML.

    Everything that isn't a figure made here is escaped, whoever named it.
    """
    template = environment_of().get_template("page.html.j2")
    return template.render(
        report=report,
        trainings=[_training(training) for training in report.trainings],
        qualities=[_quality(name, found) for name, found in report.qualities],
        sections=[_section(scores) for scores in report.scores],
        stages=list(dict.fromkeys(name for step in report.steps for name in step.stages)),
        headline_of=lambda summary: _HEADLINES[summary["task"]],
        label_of=_label,
        few=_few,
        digits_of=lambda name: 2 if name.endswith(("_mm", "_ml")) else 3,
        tone_of=_tone,
        colour_of=lambda i: f"rgb{COLOURS[i % len(COLOURS)]}",
        text_columns=_TEXT,
        count_columns=_COUNTS,
    )


def environment_of() -> Environment:
    """Where pages are made: the templates of this room, escaping on, an unknown name an error."""
    environment = Environment(
        loader=PackageLoader("medray.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"fixed": _fixed, "duration": _duration, "data_uri": _data_uri}
    return environment


def _quality(name: str, found: Mapping[str, Any]) -> dict[str, Any]:
    made = qc.quality(name, found)
    drawn = [Markup(svg) for svg in made.figures]  # noqa: S704 - made by qc.py
    return {"name": made.name, "tiles": made.tiles, "refused": made.refused, "figures": drawn}


def _training(training: Training) -> dict[str, Any]:
    return {
        "model": training.model,
        "config": training.config,
        "figures": [Markup(svg) for svg in figures.training_curves(training.history)],  # noqa: S704
    }


def _section(scores: Scores) -> dict[str, Any]:
    """What the template shows of one evaluation."""
    task = scores.summary["task"]
    drawn = _mask_figures(scores.cases) if task == "segmentation" else _curve_figures(scores)
    named, worst = list(scores.cases), list(scores.summary["worst"])
    if task == "classification":
        named = [_with_class_names(row, scores.classes) for row in named]
        worst = [_with_class_names(row, scores.classes) for row in worst]
    return {
        "name": scores.name,
        "summary": {"confusion": None, **scores.summary, "worst": worst},
        "classes": scores.classes,
        "cases": named,
        "overlays": scores.overlays,
        "figures": [Markup(svg) for svg in drawn],  # noqa: S704 - made by figures.py
        "columns": _CLASS_COLUMNS[task],
        "case_columns": _shown(_CASE_COLUMNS[task], named),
        "worst_columns": _WORST_COLUMNS[task],
    }


def _mask_figures(cases: Sequence[Mapping[str, Any]]) -> list[str]:
    def values(name: str) -> dict[str, list[float]]:
        found: dict[str, list[float]] = {row["class"]: [] for row in cases}
        for row in cases:
            if row[name] is not None:
                found[row["class"]].append(row[name])
        return found

    return [
        figures.strip("Dice of each case", "Dice", values("dice")),
        figures.strip("HD95 of each case", "mm", values("hd95_mm")),
    ]


def _curve_figures(scores: Scores) -> list[str]:
    curves = scores.summary["curves"]
    makers: dict[str, Callable[[Any], str]] = {
        "roc": figures.roc,
        "reliability": figures.reliability,
        "calibration": figures.calibration,
    }
    return [make(curves[name]) for name, make in makers.items() if name in curves]


def _with_class_names(row: Mapping[str, Any], classes: Sequence[str]) -> dict[str, Any]:
    """The row, with the classes it has and was given spelt out."""
    named = dict(row)
    for source, target in (("actual", "actual_class"), ("called", "called_class")):
        if source in row:
            chosen = [name for name, is_it in zip(classes, row[source], strict=True) if is_it == 1]
            named[target] = ", ".join(chosen) or "none"
    return named


def _shown(columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The columns that some row has a value in."""
    return [name for name in columns if any(row.get(name) is not None for row in rows)]


def _label(name: str) -> str:
    return _LABELS.get(name, name.replace("_", " "))


def _tone(status: str) -> str:
    if status in _GOOD:
        return "good"
    if status in _UNREMARKABLE:
        return "plain"
    return "bad" if status in _BAD else "warn"


def _fixed(value: float, digits: int) -> str:
    return f"{value:.{digits}f}"


def _few(estimate: Mapping[str, Any]) -> str:
    """How few subjects stand behind a value, where they are too few for an interval."""
    count = estimate.get("subjects", LEAST_SUBJECTS)
    if estimate["value"] is None or count >= LEAST_SUBJECTS:
        return ""
    return f"{count} subject" + ("s" if count != 1 else "")


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 120:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def _data_uri(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode()
