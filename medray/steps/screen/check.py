"""The check of a screening: models that say something of samples as a whole, of such samples."""

from medray.steps.base.facts import Data
from medray.steps.base.fits import check_samples, network_of, task_of
from medray.steps.base.view import View
from medray.steps.screen.operation import columns_of
from medray.steps.screen.spec import ScreenSpec
from medray.storage.shards.holds import Holds, Needs, names


def check(view: View, spec: ScreenSpec) -> None:
    """Each model can answer for the samples by numbers of its own, and no column comes twice."""
    data = view.data("data", spec.data)
    made: list[str] | None = list(spec.keep)
    for column, reference in spec.models.items():
        field = f"models.{column}"
        model = view.model(field, reference)
        kind = network_of(view, model)
        if kind is not None:
            check_samples(view, "data", kind, data, learnt=False)
        task = None if model.task is None else task_of(view, model.task)
        if task is None:
            made = None
        elif task.answers != "sample":
            hint = "take a model that is asked about samples as a whole"
            view.add(field, "no-score", "the model has no number for a sample", hint)
        elif made is not None:
            made += columns_of(column, task.classes)
    with view.at("keep"):
        Needs(columns=names(spec.keep)).check(data.holds)
    for name in sorted({one for one in made or () if (made or []).count(one) > 1}):
        message = f"the column {name!r} is made twice"
        view.add("models", "duplicate-column", message, "give each a name of its own")
    columns = None if made is None else names(made)
    source = spec.data.partition("@")[0]
    view.makes("output", spec.output, Data(spec.kind, Holds(names(), columns), data=source))
