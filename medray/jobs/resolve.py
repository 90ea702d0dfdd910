"""Resolve: a step with every default filled, its inputs pinned to versions, its units planned.

What is resolved decides the step's identity: equal work on equal inputs is the same run.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import BaseModel, TypeAdapter

from medray.engine import OPERATIONS
from medray.errors import SpecError
from medray.formats import FORMATS
from medray.formats.joined import Joined
from medray.ids import short
from medray.jobs.driver import RUN_DIGITS
from medray.jobs.joins import plan_join
from medray.jobs.plan import Planned, plan_ingest, plan_shards
from medray.jobs.regroup import earlier
from medray.jobs.sources import plan_of
from medray.jobs.successors import with_successors
from medray.jobs.target import claim, shown
from medray.models import MODELS
from medray.spec.base import Plugin
from medray.spec.check import check
from medray.spec.jobs import AnyStep, Evaluate, Export, Ingest, Predict, Train, Transform
from medray.steps.transform.transforms import TRANSFORMS
from medray.storage.catalog.datasets import Dataset, open_dataset
from medray.storage.catalog.models import open_model
from medray.storage.catalog.versions import check_name
from medray.storage.shards.schema import encode
from medray.storage.store.objects import Objects
from medray.tasks import TASKS

Place = Callable[..., str]


@dataclass(frozen=True)
class Resolved:
    """A step, ready to run.

    Args:
        step: with the options of its plugins filled in.
        run: id; equal work, equal id.
        spec: hash of what the step is, without its inputs.
        output: name of what it makes.
        parents: what it is made of, as name@version.
        operation: in the registry of operations; empty for training.
        parameters: of the operation.
        planned: units; None for training.
        first: units of the same step that come before; theirs are no output of their own.
        attributes: of the version it makes.
    """

    step: AnyStep
    run: str
    spec: str
    output: str
    parents: list[str]
    operation: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)
    planned: Planned | None = None
    attributes: dict[str, Any] = field(default_factory=dict)
    first: "Resolved | None" = None


def resolve(step: AnyStep, objects: Objects, place: Place) -> Resolved:
    """Resolve one step against what storage holds now.

    Args:
        step: as loaded.
        objects: the storage root.
        place: maps the parts of a field's path to how errors name the place.

    Raises:
        SpecError: a plugin or an option of it is unknown, an input does not exist, or the source
            holds nothing of its format.
    """
    match step:
        case Ingest():
            resolved = _ingest(step, objects, place)
        case Transform():
            resolved = _transform(step, objects, place)
        case Train():
            resolved = _train(step, objects, place)
        case Predict():
            resolved = _predict(step, objects)
        case Evaluate():
            resolved = _evaluate(step, objects)
        case Export():
            resolved = _export(step, objects, place)
    if resolved.planned is None:
        return resolved
    units = with_successors(resolved.planned.units, objects, resolved.output)
    planned = replace(resolved.planned, units=units)
    run = _run_id(resolved.step.kind, resolved.spec, resolved.parents, planned)
    first = resolved.first and replace(resolved.first, run=run)
    return replace(resolved, planned=planned, run=run, first=first)


def _ingest(step: Ingest, objects: Objects, place: Place) -> Resolved:
    kind = FORMATS.get(step.format.name)
    step = step.model_copy(update={"format": _filled(step.format, kind.Options, place, "format")})
    options = kind.Options.model_validate(step.format.options)
    split = step.split.parameters() if step.split else None
    identity = {"format": step.format.model_dump(mode="json"), "split": split}
    found = plan_of(kind(options), step, objects)
    samples = units_of(step)
    planned = plan_ingest(
        found,
        name=step.format.name,
        identity=identity,
        samples=samples,
        before=earlier(objects, step.output, short(step.identity()), samples),
    )
    return _resolved(
        step,
        step.output,
        [],
        planned=planned,
        parameters={
            **identity,
            **step.model_dump(include={"source", "fingerprint", "follow_links"}),
            **({"arrays": encode(found.arrays)} if found.arrays else {}),
        },
        attributes={**found.attributes, "format": step.format.name},
    )


def _transform(step: Transform, objects: Objects, place: Place) -> Resolved:
    kind = TRANSFORMS.get(step.operation.name)
    filled = _filled(step.operation, kind.Options, place, "operation")
    data = open_dataset(objects, step.data)
    if not kind.required <= set(step.using) <= set(kind.roles):
        raise SpecError(
            f"{step.operation.name} uses {', '.join(kind.roles) or 'no further dataset'}",
            code="bad-roles",
            about=place("using"),
            hint=f"it needs {', '.join(sorted(kind.required)) or 'none of them'}",
        )
    using = {role: open_dataset(objects, name) for role, name in sorted(step.using.items())}
    step = step.model_copy(update={"operation": filled})
    identity = {
        "operation": filled.model_dump(mode="json"),
        "using": {role: dataset.digest for role, dataset in using.items()},
        "attributes": kind.reads(data.attributes),
    }
    references = {role: dataset.reference for role, dataset in using.items()}
    return _resolved(
        step,
        step.output,
        [data.reference, *references.values()],
        planned=plan_shards(data, "transform", identity=identity, select=step.select),
        parameters={**identity, "using": references, "data": data.reference},
        attributes={"operation": filled.name, "data": data.reference},
    )


def units_of(step: Ingest) -> int | None:
    """Inputs per unit that the job asks for; None leaves it to the format."""
    return step.units.samples if step.units else None


def _train(step: Train, objects: Objects, place: Place) -> Resolved:
    task, model = TASKS.get(step.task.name), MODELS.get(step.model.name)
    step = step.model_copy(
        update={
            "task": _filled(step.task, task.Options, place, "task"),
            "model": _filled(step.model, model.Options, place, "model"),
        }
    )
    data = open_dataset(objects, step.data)
    parents, made_of = [data.reference], [f"{data.name} {data.digest}"]
    if step.train.init_from:
        first = open_model(objects, step.train.init_from).reference
        parents.append(first)
        made_of.append(first)
        settings = step.train.model_copy(update={"init_from": first})
        step = step.model_copy(update={"train": settings})
    # By what the data hold: a version of the same samples, repaired, is not learnt from again.
    return _resolved(step, step.output, parents, made_of=made_of)


def _predict(step: Predict, objects: Objects) -> Resolved:
    if step.variants is not None:
        from medray.jobs.scores import plan_scores  # loads torch

        planned, parameters, attributes = plan_scores(step, step.variants, objects)
        return _resolved(
            step,
            step.output,
            [attributes["data"], attributes["model"], attributes["genome"]],
            operation="score",
            planned=planned,
            parameters=parameters,
            attributes=attributes,
        )
    model, data = open_model(objects, step.model), open_dataset(objects, step.data)
    identity = step.model_dump(include={"overlap", "tta", "precision", "batch", "outputs"})
    takes = MODELS.get(model.config["model"]["name"]).takes
    if step.outputs not in ("labels", "probabilities") and takes != "sequence":
        raise SpecError(
            f"{step.outputs} is of networks that take sequences",
            code="no-attributions",
            about=model.reference,
            hint=f"this one takes {takes}s",
        )
    if "folds" in model.config:
        identity["held_out"] = data.name == model.parents[0].partition("@")[0]
    planned = plan_shards(
        data, "predict", identity=identity, select=step.select, model=model.digest
    )
    attributes = {
        "task": model.config["task"],
        "model": model.reference,
        "data": data.reference,
        "select": step.select,
        "outputs": step.outputs,
    }
    return _resolved(
        step,
        step.output,
        [data.reference, model.reference],
        planned=planned,
        parameters={**identity, "model": model.reference},
        attributes=attributes,
    )


def _evaluate(step: Evaluate, objects: Objects) -> Resolved:
    data = open_dataset(objects, step.data)
    predictions = open_dataset(objects, step.predictions)
    task = predictions.attributes.get("task")
    if task is None or predictions.attributes.get("outputs") not in ("labels", "probabilities"):
        raise SpecError(
            "the dataset holds no predictions",
            code="no-predictions",
            about=step.predictions,
            hint=f"it was made by a step of kind {predictions.manifest.kind}",
        )
    select = step.select if step.select is not None else predictions.attributes["select"]
    identity = {"task": task}
    planned = plan_shards(data, "evaluate", identity=identity, select=select, paired=predictions)
    return _resolved(
        step,
        step.output,
        [predictions.reference, data.reference],
        planned=planned,
        parameters=identity,
        attributes={"task": task},
    )


def _export(step: Export, objects: Objects, place: Place) -> Resolved:
    kind = FORMATS.get(step.format.name)
    filled = _filled(step.format, kind.Options, place, "format")
    step = step.model_copy(update={"format": filled, "output": check_name(step.name)})
    data = open_dataset(objects, step.data)
    images = step.images or data.attributes.get("data")
    identity = {
        "format": step.format.model_dump(mode="json"),
        "target": claim(step.to, objects),
        "task": data.attributes.get("task"),
    }
    if "features" in data.attributes:
        identity["features"] = data.attributes["features"]
    made = kind(kind.Options.model_validate(filled.options))
    if isinstance(made, Joined):
        return _join(step, made, data, objects, identity)
    planned = plan_shards(
        data,
        f"export/{step.format.name}",
        identity=identity,
        select=step.select,
        paired=open_dataset(objects, images) if images else None,
    )
    return _resolved(
        step,
        step.name,
        [data.reference],
        planned=planned,
        parameters={**identity, "to": step.to},
        attributes={"format": step.format.name, "to": shown(step.to)},
    )


def _join(
    step: Export, made: Joined, data: Dataset, objects: Objects, identity: dict[str, Any]
) -> Resolved:
    planned = plan_join(made, data, objects, identity=identity, select=step.select)
    resolved = _resolved(
        step,
        step.name,
        [data.reference],
        operation="join",
        planned=planned.files,
        parameters={**planned.parameters, "to": step.to, "parts": step.name},
        attributes={"format": step.format.name, "to": shown(step.to)},
    )
    if planned.parts is None:
        return resolved
    first = replace(
        resolved, operation="part", parameters=planned.parameters, planned=planned.parts
    )
    return replace(resolved, first=first)


def _resolved(
    step: AnyStep,
    output: str,
    parents: list[str],
    *,
    operation: str = "",
    planned: Planned | None = None,
    parameters: dict[str, Any] | None = None,
    attributes: dict[str, Any] | None = None,
    made_of: list[str] | None = None,
) -> Resolved:
    spec = short(step.identity())
    operation = operation or step.kind
    if planned is not None:
        OPERATIONS.get(operation)  # a missing library is known before the work begins
    return Resolved(
        step=step,
        run=_run_id(step.kind, spec, made_of or parents, planned),
        spec=spec,
        output=output,
        parents=parents,
        operation="" if planned is None else operation,
        parameters=parameters or {},
        planned=planned,
        attributes=attributes or {},
    )


def _run_id(kind: str, spec: str, made_of: list[str], planned: Planned | None) -> str:
    inputs = [*made_of, planned.identity if planned else ""]
    return f"{kind}-{short([spec, inputs])[:RUN_DIGITS]}"


def _filled(plugin: Plugin, options: type[BaseModel], place: Place, name: str) -> Plugin:
    """The plugin with every option it has, checked."""
    model = check(TypeAdapter(options), plugin.options, lambda *parts: place(name, *parts))
    values = model.model_dump(mode="json")
    for planned in getattr(options, "planned", frozenset()) - plugin.options.keys():
        del values[planned]  # of a network: the data and the task decide
    return Plugin.model_validate({"name": plugin.name, **values})
