"""What tasks say of their metrics: names, directions, digits."""

import pytest

from medray.errors import SpecError
from medray.tasks import TASKS, build_task

MASKS = {"name": "segmentation", "classes": ["background", "rest", "f1"]}


@pytest.mark.parametrize(
    ("name", "label", "higher", "digits"),
    [
        ("dice", "Dice", True, 3),
        ("val_dice", "Dice", True, 3),
        ("val_dice_rest", "Dice", True, 3),
        ("hd95_mm", "HD95, mm", False, 2),
        ("baseline_iou", "IoU", True, 3),
        ("val_gain_largest_f1", "gain by the largest part alone", True, 3),
    ],
)
def test_a_metric_is_known_by_every_name_it_has(
    name: str, label: str, higher: bool, digits: int
) -> None:
    metric = build_task(MASKS).metric_of(name)
    assert (metric.label, metric.higher_is_better, metric.digits) == (label, higher, digits)


def test_the_longest_name_is_meant() -> None:
    task = build_task({"name": "tagging", "classes": ["auroc", "per_sample"]})
    assert task.metric_of("auroc_per_sample").label == "AUROC, mean of samples"
    assert task.metric_of("val_auroc_auroc").label == "AUROC"


@pytest.mark.parametrize("name", ["val_dize", "dice_liver", "val_", "lesion"])
def test_an_unknown_one_is_refused(name: str) -> None:
    with pytest.raises(SpecError, match="unknown-metric") as caught:
        build_task(MASKS).metric_of(name)
    assert "val_dice_rest" in caught.value.hint


def test_errors_fall_as_a_model_gets_better() -> None:
    lower = {(task, n) for task in TASKS.names() for n, m in TASKS.get(task).metrics.items()
             if not m.higher_is_better}  # fmt: skip
    assert lower == {
        *(("segmentation", n) for n in ("hd95_mm", "voxel_error", "lesions_false")),
        ("segmentation", "lesions_missed"),
        *(("detection", name) for name in ("false", "missed")),
        ("relations", "threshold"),
        ("synthesis", "sliced_wasserstein"),
        *(("masked-image", name) for name in ("restored_error", "mean_error")),
        *(("classification", name) for name in ("brier", "ece", "error", "set_size")),
        ("classification", "false_alarms_per_hour"),
        *(("regression", name) for name in ("rmse", "mse", "mae", "error", "margin", "width")),
        *(("anomaly", f"false_alarms_per_{what}") for what in ("hour", "case")),
        *(("anomaly", name) for name in ("surprise", "threshold")),
        ("tagging", "false_alarms_per_hour"),
        *(("language", name) for name in ("nats", "perplexity", "unknown")),
        *(("risk", name) for name in ("brier", "log_loss", "alert_rate", "error")),
        *(("survival", name) for name in ("brier", "brier_unknowing", "risk")),
        *(("treatment-effect", name) for name in ("root_pehe", "ate_error", "rmse")),
        ("treatment-effect", "propensity_log_loss"),
    }
