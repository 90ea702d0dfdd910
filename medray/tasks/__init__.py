"""What is learnt and how it is judged: one file per task."""

from typing import TYPE_CHECKING, Any

from medray.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from medray.tasks.base import Task

TASKS: "Registry[Task]" = Registry(
    "medray.tasks",
    {
        "segmentation": "medray.tasks.segmentation:Segmentation",
        "detection": "medray.tasks.detection:Detection",
        "instances": "medray.tasks.masks.instances:Instances",
        "classification": "medray.tasks.classification:Classification",
        "regression": "medray.tasks.regression:Regression",
        "tagging": "medray.tasks.tagging:Tagging",
        "anomaly": "medray.tasks.anomaly:Anomaly",
        "risk": "medray.tasks.risk:Risk",
        "treatment-effect": "medray.tasks.treatment:TreatmentEffect",
        "survival": "medray.tasks.survival:Survival",
        "synthesis": "medray.tasks.synthesis:Synthesis",
        "masked-image": "medray.tasks.masked_image:MaskedImage",
        "language": "medray.tasks.language:Language",
        "ner": "medray.tasks.text.ner:Ner",
        "summary": "medray.tasks.text.summary:Summary",
        "abstractive-summary": "medray.tasks.text.abstractive:AbstractiveSummary",
        "relations": "medray.tasks.text.relations:Relations",
    },
)


def build_task(options: dict[str, Any], frequencies: "Sequence[float] | None" = None) -> "Task":
    """The task that `options` name (`name` and the task's own options), as in a job file.

    Args:
        options: of the job.
        frequencies: share of each class in the training data, where weights depend on it.
    """
    rest = dict(options)
    kind = TASKS.get(rest.pop("name"))
    return kind(kind.Options.model_validate(rest), frequencies)
