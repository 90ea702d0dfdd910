"""Resolve a learning curve: a network for each share, arm and draw is a unit."""

from typing import Any

from medray.engine.training.leak import refuse, shared
from medray.engine.units.operation import Unit
from medray.ids import unit_id
from medray.spec.documents import Place
from medray.steps.base.planned import Planned, selected
from medray.steps.base.resolved import Resolved
from medray.steps.train.curve.check import hides, training_of
from medray.steps.train.curve.spec import LearningCurveSpec
from medray.steps.train.resolve import resolve as resolve_training
from medray.storage.catalog.datasets import open_dataset
from medray.storage.store.objects import Objects

OPERATION = "medray.steps.train.curve.operation:Learn"


def resolve(spec: LearningCurveSpec, objects: Objects, place: Place) -> Resolved[LearningCurveSpec]:
    """See medray.steps.base.step.Step.

    Raises:
        SpecError: labels are drawn of subjects, or samples, that are judged ("shared-parts"), or
            either selects none ("nothing-selected").
    """
    data = open_dataset(objects, spec.data)
    both = set(selected(data, spec.select)) & set(selected(data, spec.judge, "judge"))
    refuse({"sample": len(both)} if both else shared(data, spec.select, spec.judge), spec.data)
    arms: dict[str, dict[str, Any]] = {}
    told: dict[str, dict[str, Any]] = {}
    parents, made_of = [data.reference], [f"{data.name} {data.digest}"]
    for arm in spec.arms:
        found = resolve_training(training_of(spec, spec.settings(arm)), objects, place)
        parents += [one for one in found.parents[1:] if one not in parents]
        made_of += [one for one in found.made_of[1:] if one not in made_of]
        first = found.step
        arms[arm] = first.train.model_dump(mode="json")
        told[arm] = first.identity()["train"]
    whole = {
        "task": first.task.model_dump(mode="json"),
        "model": first.model.model_dump(mode="json"),
        "plan": first.plan,
        "select": spec.select,
        "judge": spec.judge,
        "seed": spec.seed,
    }
    units: list[Unit] = []
    for share in sorted(spec.shares):
        for arm in arms:
            for draw in range(spec.draws):
                asked = {"arm": arm, "share": share, "draw": draw}
                identity = {**whole, **asked, "train": told[arm]}
                units.append(
                    Unit(
                        id=unit_id("learning-curve", identity, [data.digest]),
                        index=len(units),
                        inputs=(f"{arm}, {share:g} of the labels, draw {draw + 1}",),
                        payload=asked,
                    )
                )
    return Resolved(
        spec.model_copy(update={"task": first.task, "model": first.model, "plan": first.plan}),
        spec.output,
        parents=parents,
        made_of=made_of,
        operation=OPERATION,
        parameters={
            **whole,
            "data": data.reference,
            "arms": arms,
            "hides": [arm for arm in arms if hides(spec.settings(arm))],
        },
        planned=Planned(units, []),
        attributes={"data": data.reference, "judge": spec.judge, "learnt": whole["task"]},
    )
