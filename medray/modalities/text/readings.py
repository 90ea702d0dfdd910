"""Which reading goes with what a network answers."""

from medray.modalities.text.chosen import Chosen
from medray.modalities.text.generated import Generated
from medray.modalities.text.linked import Linked
from medray.modalities.text.plan import TextPlan
from medray.modalities.text.reading import Marked, Reading, Whole
from medray.tasks.base import Task

READINGS: dict[str, type[Reading]] = {
    "sample": Whole,
    "spans": Marked,
    "links": Linked,
    "extract": Chosen,
    "generated": Generated,
}


def reading_of(plan: TextPlan, task: Task) -> Reading:
    """How texts are read for a network.

    Args:
        plan: of its training.
        task: that it answers.
    """
    return READINGS[plan.answers](plan, task)
