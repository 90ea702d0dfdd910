"""Resolve: fill in every default of a step, pin its inputs to versions, plan its units.

What is resolved decides the step's identity: equal work on equal inputs is the same run.
"""

from dataclasses import replace
from typing import Any

from medray.engine.units.operation import operation_of
from medray.ids import RUN_DIGITS, short
from medray.spec.documents import Place
from medray.spec.step import StepSpec
from medray.steps.base.resolved import Resolved
from medray.steps.base.step import Step, named
from medray.steps.base.successors import with_successors
from medray.storage.store.objects import Objects


def kind_of(step: StepSpec) -> Step:
    """What knows how to do a step."""
    return named(step.kind)


def resolve(step: StepSpec, objects: Objects, place: Place) -> Resolved[Any]:
    """Resolve one step against what storage holds now.

    Args:
        step: as loaded.
        objects: the storage root.
        place: maps the parts of a field's path to how errors name the place.

    Raises:
        SpecError: a plugin or an option of it is unknown, an input does not exist, or the source
            holds nothing of its format.
    """
    resolved = kind_of(step).resolve(step, objects, place)
    planned, first = resolved.planned, resolved.first
    if planned is not None:
        operation_of(resolved.operation)  # a missing library is known before the work begins
        units = with_successors(planned.units, objects, resolved.output)
        planned = replace(planned, units=units)
    spec = short(resolved.step.identity())
    inputs = [*(resolved.made_of or resolved.parents), planned.identity if planned else ""]
    run = f"{step.kind}-{short([spec, inputs])[:RUN_DIGITS]}"
    first = first and replace(first, run=run, spec=spec)
    return replace(resolved, planned=planned, first=first, run=run, spec=spec)
