"""A step with every default filled, its inputs pinned to versions, its units planned."""

from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar

from pydantic import BaseModel, TypeAdapter

from medray.spec.base import Plugin
from medray.spec.check import check
from medray.spec.documents import Place
from medray.spec.step import StepSpec
from medray.steps.base.planned import Planned

S = TypeVar("S", bound=StepSpec)


@dataclass(frozen=True)
class Resolved(Generic[S]):
    """A step, ready to run.

    Args:
        step: with the options of its plugins filled in.
        output: name of what it makes.
        parents: what it is made of, as name@version.
        made_of: the same, as far as it decides what is made; empty: the parents.
        operation: what its units do, as "module:Class" of an `Operation`; empty: it has none.
        parameters: of the operation.
        planned: units; None where it is done as a whole.
        first: units of the same step that come before; theirs are no output of their own.
        attributes: of the version it makes.
        runs_on: a crew of worker processes, a pool of Ray Data's, or the replicas that serve the
            model; where there is no Ray, all are this process.
        run: id; equal work, equal id.
        spec: hash of what the step is, without its inputs.
    """

    step: S
    output: str
    parents: list[str]
    made_of: list[str] = field(default_factory=list)
    operation: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)
    planned: Planned | None = None
    first: "Resolved[S] | None" = None
    attributes: dict[str, Any] = field(default_factory=dict)
    runs_on: Literal["crew", "data", "serve"] = "crew"
    run: str = ""
    spec: str = ""


def filled(plugin: Plugin, options: type[BaseModel], place: Place, name: str) -> Plugin:
    """The plugin with every option it has, checked.

    Args:
        plugin: as the document names it.
        options: the model of its options.
        place: maps the parts of a field's path to how errors name the place.
        name: of the field that names it.

    Raises:
        SpecError: an option is wrong (code "bad-field").
    """
    model = check(TypeAdapter(options), plugin.options, lambda *parts: place(name, *parts))
    values = model.model_dump(mode="json")
    for planned in getattr(options, "planned", frozenset()) - plugin.options.keys():
        del values[planned]  # of a network: the data and the task decide
    return Plugin.model_validate({"name": plugin.name, **values})
