"""The check of each kind of step: its plugins, what they need, its folders, and what it makes."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from medray.errors import SpecError
from medray.formats import FORMATS
from medray.formats.base import Format, WriteOnly
from medray.formats.joined import Joined
from medray.jobs.check.facts import Data, Model
from medray.jobs.check.models import check_predict, check_train, same_classes, task_of
from medray.jobs.check.view import Problem, Room, View
from medray.jobs.sources import check_named, source_of
from medray.spec.check import tried
from medray.spec.jobs import STEP, AnyStep, Evaluate, Export, Ingest, Transform
from medray.spec.load import Source, cluster_profile
from medray.spec.override import merge
from medray.spec.profiles import RayCluster
from medray.steps.transform.transforms import TRANSFORMS
from medray.storage.shards.holds import Holds, names
from medray.storage.store.objects import Objects

DEFAULT_CLUSTER = "local"
_UNSET = "${…}"  # marks a document whose variables have no values; no field is called so


def check_documents(
    source: Source, objects: Objects, *, cluster: str | None, elsewhere: bool | None = None
) -> tuple[list[AnyStep], list[Problem]]:
    """Check all documents of a job; nothing is written anywhere.

    Args:
        source: the documents.
        objects: the storage root that it will run in.
        cluster: profile to run on; None: the step's own, else `local`.
        elsewhere: it runs on another machine: its folders and libraries are not looked for here.
            None: what runs on a cluster of kind ray does.

    Returns:
        The steps that can be read, and all problems, in the order of the documents.
    """
    view = View(objects)
    documents = [_filled(view, source, at) for at in range(len(source.documents))]
    for number, document in enumerate(documents, 1):
        room: Room = "models" if document.get("kind") == "train" else "datasets"
        if isinstance(document.get("output"), str):
            view.later.setdefault(room, {}).setdefault(document["output"], number)
    steps: list[AnyStep] = []
    for number, document in enumerate(documents, 1):
        view.number = number
        step = None if _UNSET in document else _step(view, document, cluster, elsewhere)
        if step is not None:
            steps.append(step)
            _CHECKS[step.kind](view, step)
        elif isinstance(document.get("output"), str):
            made = Model() if document.get("kind") == "train" else Data()
            view.makes("output", document["output"], made)
    return steps, view.problems


def _filled(view: View, source: Source, at: int) -> dict[str, Any]:
    """A document with its variables; where one is unset, no more than what it makes."""
    view.number = at + 1
    try:
        return source.filled(at)
    except SpecError as error:
        field = error.about.rpartition(", ")[2] if error.about.count(", ") > 1 else ""
        view.add(field, error.code, error.message, error.hint)
    plain = source.documents[at]
    return {_UNSET: True, **{name: plain.get(name) for name in ("kind", "output")}}


def _step(
    view: View, document: dict[str, Any], cluster: str | None, elsewhere: bool | None
) -> AnyStep | None:
    """A document's own fields, and its profile."""
    defaults: dict[str, Any] = {}
    view.profile = None
    with view.at("cluster"):
        view.profile = cluster_profile(cluster or str(document.get("cluster") or DEFAULT_CLUSTER))
        there = isinstance(view.profile, RayCluster)
        view.elsewhere = there if elsewhere is None else elsewhere
        told: dict[Any, dict[str, Any]] = view.profile.defaults
        defaults = told.get(str(document.get("kind")), {})
    step = tried(STEP, merge(defaults, document))
    if isinstance(step, list):
        view.bad(step)
        return None
    if step.tracking == "mlflow":
        view.library("tracking", "mlflow")
    return step


def _format(view: View, step: Ingest | Export) -> Format | None:
    """The format with its options, if both can be, and what it takes besides."""
    found = view.plugin(FORMATS, step.format, "format")
    with view.at("format"):
        if found is not None:
            return found[0](found[1])
    return None


def _ingest(view: View, step: Ingest) -> None:
    made = _format(view, step)
    holds = Holds()
    if isinstance(made, WriteOnly):
        error = made.unread()
        view.add("format.name", error.code, error.message, error.hint)
    else:
        if made is not None:
            holds = made.holds()
            with view.at("format"):
                if not view.elsewhere:
                    made.ready()
        if not view.elsewhere:
            with view.at("source"):
                if _look_at_source(view, step.source) and made is not None:
                    _look_at_named(view, made, step.source)
    view.makes("output", step.output, Data("ingest", _divided(view, step, holds)))


def _look_at_source(view: View, source: str) -> bool:
    """Whether it is there; false where an earlier document will make it."""
    if "://" in source:
        view.objects.beside(source)
    elif any(Path(source).is_relative_to(target) for target in view.targets):
        return False
    else:
        source_of(source)
    return True


def _look_at_named(view: View, made: Format, source: str) -> None:
    try:
        check_named(made, source, view.objects)
    except SpecError as error:
        view.add("format", error.code, f"{error.message}: {error.about}", error.hint)


def _divided(view: View, step: Ingest, holds: Holds) -> Holds:
    """What a split adds to what a format makes."""
    split = step.split
    if split is None:
        return holds
    if split.column is not None and holds.columns is not None:
        with view.at("split.column"):
            holds.check_where({split.column: ""})
    fractions = split.__pydantic_extra__
    more = names("split" if split.column or fractions else None, "fold" if split.folds else None)
    drawn = names(name for name, share in fractions.items() if share > 0)
    return replace(
        holds,
        columns=None if holds.columns is None else holds.columns | more,
        lacks=holds.lacks - more,
        splits=drawn or holds.splits,
    )


def _transform(view: View, step: Transform) -> None:
    data = view.data("data", step.data)
    using = {role: view.data(f"using.{role}", name) for role, name in step.using.items()}
    found = view.plugin(TRANSFORMS, step.operation, "operation")
    with view.at("select"):
        data.holds.check_where(step.select)
    holds = Holds()
    if found is not None:
        kind, options = found
        if not kind.required <= set(using) <= set(kind.roles):
            roles = ", ".join(kind.roles) or "no further dataset"
            hint = f"it needs {', '.join(sorted(kind.required)) or 'none of them'}"
            view.add("using", "bad-roles", f"{step.operation.name} uses {roles}", hint)
        with view.at("data"):
            kind.needs(options).check(data.holds)
        for role in set(using) & set(kind.roles):
            with view.at(f"using.{role}"):
                kind.needs(options, role).check(using[role].holds)
        holds = kind.holds(options, frozenset(using))
    view.makes("output", step.output, Data("transform", holds))


def _evaluate(view: View, step: Evaluate) -> None:
    predictions, data = view.data("predictions", step.predictions), view.data("data", step.data)
    if predictions.kind and (
        predictions.task is None or predictions.outputs not in ("labels", "probabilities")
    ):
        what = predictions.outputs or f"made by a step of kind {predictions.kind}"
        message = "the dataset holds no predictions that can be scored"
        view.add("predictions", "no-predictions", message, f"it holds {what}")
    elif predictions.task is not None:
        task = task_of(view, predictions.task)
        if task is not None:
            with view.at("data"):
                task.needs.check(data.holds)
                same_classes(task, data.holds)
    with view.at("select"):
        data.holds.check_where(step.select or {})
    view.makes("output", step.output, Data("evaluate", Holds(names())))


def _export(view: View, step: Export) -> None:
    made, data = _format(view, step), view.data("data", step.data)
    holds = data.holds
    if step.images is not None:
        holds = _beside(holds, view.data("images", step.images))
    elif data.data:  # where the predictions say that they come from; it need not be there
        holds = _beside(holds, Data())
    with view.at("select"):
        data.holds.check_where(step.select)
    if made is not None and not made.writes():
        message = f"format {made.name!r} cannot be written"
        view.add("format.name", "read-only-format", message, "take another to export by")
    elif made is not None:
        with view.at("data"):
            made.needs().check(holds)
        if not view.elsewhere:
            with view.at("format"):
                made.ready()
        raw = made.raw if isinstance(made, Joined) else ""
        if raw and not view.elsewhere:
            with view.at("format.source"):
                _look_at_source(view, raw)
    if not view.elsewhere:
        with view.at("to"):
            _look_at_target(view, step.to)
    view.makes("output", step.name, Data("export", Holds(names())))


def _beside(holds: Holds, images: Data) -> Holds:
    """What an export has at hand of samples and their images."""
    there = images.holds.arrays
    if holds.arrays is None or (there is not None and "image" not in there):
        return holds
    return replace(holds, arrays=holds.arrays | {"image"})


def _look_at_target(view: View, to: str) -> None:
    if "://" in to:
        view.objects.beside(to)
        return
    view.targets.append(to)
    place = Path(to)
    there = next((one for one in (place, *place.parents) if os.path.lexists(one)), place)
    if not (there.is_dir() and os.access(there, os.W_OK | os.X_OK)):
        raise SpecError(
            "it cannot be used as a target: "
            + ("a file is in the way" if not there.is_dir() else "this user may not write there"),
            code="bad-target",
            hint="give a folder that can be made and written to",
        )


_CHECKS: dict[str, Callable[[View, Any], None]] = {
    "ingest": _ingest,
    "transform": _transform,
    "train": check_train,
    "predict": check_predict,
    "evaluate": _evaluate,
    "export": _export,
}
