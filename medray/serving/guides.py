"""Cascades behind an endpoint: which coarse model draws the masks that a guided one takes."""

from medray.errors import SpecError
from medray.modalities import MODALITIES, plans_of
from medray.spec.serving import Serving
from medray.storage.catalog.models import ModelPackage, open_model
from medray.storage.store.objects import Objects


def pinned(objects: Objects, serving: Serving) -> Serving:
    """The same with versions of all guides, for all replicas.

    Raises:
        SpecError: there is no such model (code "no-such-model"), or none of that name is served
            ("bad-field").
    """
    served = {reference.partition("@")[0] for reference in serving.models}
    for name in serving.guides.keys() - served:
        raise SpecError("no such model is served", code="bad-field", about=f"guides.{name}")
    guides = {name: open_model(objects, one).reference for name, one in serving.guides.items()}
    return serving.model_copy(update={"guides": guides})


def require_guide(objects: Objects, serving: Serving, package: ModelPackage) -> None:
    """Refuse a model that needs masks by another one which the endpoint has not.

    Raises:
        SpecError: no guide is named ("needs-guide"), one is and it needs none ("no-guide"), or it
            draws other classes, or samples of another kind ("other-guide").
    """
    _, plan, _ = plans_of(package)[0]
    wanted = MODALITIES.get(plan["modality"])().guided_by(plan)
    named = serving.guides.get(package.name)
    if not wanted:
        if named is not None:
            raise SpecError(
                "the model takes no masks by another one",
                code="no-guide",
                about=f"guides.{package.name}",
                hint="leave it out",
            )
        return
    if named is None:
        raise SpecError(
            "the model takes a mask by another model beside each image",
            code="needs-guide",
            about=package.reference,
            hint=f"name the coarse model of its cascade: `guides: {{{package.name}: COARSE}}`",
        )
    _, coarse, _ = plans_of(open_model(objects, named))[0]
    drawn = tuple(coarse["classes"]) if coarse["answers"] == "place" else ()
    same = ("modality", "dims", "in_channels")
    if drawn != wanted or any(coarse.get(one) != plan.get(one) for one in same):
        raise SpecError(
            f"the model learnt with masks of {', '.join(wanted)}",
            code="other-guide",
            about=f"guides.{package.name}: {named}",
            hint="name the model whose masks it was trained with",
        )
    if MODALITIES.get(coarse["modality"])().guided_by(coarse):
        raise SpecError("the guide needs one itself", code="needs-guide", about=named)
