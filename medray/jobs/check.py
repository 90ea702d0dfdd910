"""Check a whole job before its first step: what each document needs is there, or will be made.

Documents are gone through in order. What one will make is known by name, and what it will hold as
far as its plugins say so (`medray.storage.shards.holds`); what stands in storage is looked at
there. What only the data can tell is left to the step.
"""

from typing import Any

from medray.errors import SpecError
from medray.spec.check import tried
from medray.spec.kinds import KINDS, STEP
from medray.spec.load import Source, cluster_profile, kept_variables
from medray.spec.override import merge
from medray.spec.profiles import RayCluster
from medray.spec.step import StepSpec
from medray.steps.base.facts import Data, Model
from medray.steps.base.resolve import kind_of
from medray.steps.base.view import Problem, Room, View
from medray.storage.store.objects import Objects

DEFAULT_CLUSTER = "local"
_UNSET = "${…}"  # marks a document whose variables have no values; no field is called so


def check_documents(
    source: Source, objects: Objects, *, cluster: str | None, elsewhere: bool | None = None
) -> tuple[list[StepSpec], list[Problem]]:
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
        if isinstance(document.get("output"), str):
            view.later.setdefault(_room(document), {}).setdefault(document["output"], number)
    steps: list[StepSpec] = []
    for number, document in enumerate(documents, 1):
        view.number = number
        step = None if _UNSET in document else _step(view, document, cluster, elsewhere)
        if step is not None:
            steps.append(step)
            kind_of(step).check(view, step)
        elif isinstance(document.get("output"), str):
            made = Model() if _room(document) == "models" else Data()
            view.makes("output", document["output"], made)
    return steps, view.problems


def _room(document: dict[str, Any]) -> Room:
    """What a document makes, as far as its kind is known."""
    kind = str(document.get("kind"))
    return KINDS.get(kind).makes if kind in KINDS else "datasets"


def _filled(view: View, source: Source, at: int) -> dict[str, Any]:
    """A document with its variables; where one is unset, no more than what it makes."""
    view.number = at + 1
    try:
        filled = source.filled(at)
    except SpecError as error:
        field = error.about.rpartition(", ")[2] if error.about.count(", ") > 1 else ""
        view.add(field, error.code, error.message, error.hint)
    else:
        for kept in kept_variables(source, at):
            view.add(kept.about, kept.code, kept.message, kept.hint)
        return filled
    plain = source.documents[at]
    return {_UNSET: True, **{name: plain.get(name) for name in ("kind", "output")}}


def _step(
    view: View, document: dict[str, Any], cluster: str | None, elsewhere: bool | None
) -> StepSpec | None:
    """A document's own fields, and its profile."""
    defaults: dict[str, Any] = {}
    view.profile = None
    with view.at("cluster"):
        view.profile = cluster_profile(cluster or str(document.get("cluster") or DEFAULT_CLUSTER))
        there = isinstance(view.profile, RayCluster)
        view.elsewhere = there if elsewhere is None else elsewhere
        defaults = view.profile.defaults.get(str(document.get("kind")), {})
    step = tried(STEP, merge(defaults, document))
    if isinstance(step, list):
        view.bad(step)
        return None
    if step.tracking == "mlflow":
        view.library("tracking", "mlflow")
    return step
