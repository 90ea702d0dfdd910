"""Modalities: how each kind of sample goes from storage to a network. Loaded lazily."""

from typing import TYPE_CHECKING, Any

from medray.models import MODELS
from medray.registry import Registry

if TYPE_CHECKING:
    from medray.modalities.base import Modality
    from medray.modalities.plan import Plan
    from medray.storage.catalog.models import ModelPackage

MODALITIES: "Registry[Modality]" = Registry(
    "medray.modalities",
    {
        "image": "medray.modalities.image:Images",
        "molecule": "medray.modalities.molecule:MoleculeSamples",
        "notation": "medray.modalities.notation:Notations",
        "pair": "medray.modalities.pair:PairSamples",
        "ehr": "medray.modalities.ehr:HealthRecords",
        "sequence": "medray.modalities.sequence:Sequences",
        "signal": "medray.modalities.signal:Signals",
        "slide": "medray.modalities.slide:SlideSamples",
        "text": "medray.modalities.text:Texts",
        "table": "medray.modalities.table:Tables",
    },
)


def modality_of(model: dict[str, Any]) -> "Modality":
    """What the network of `model` takes, as in a job file: `name` and options."""
    return MODALITIES.get(MODELS.get(model["name"]).takes)()


def read_plan(document: dict[str, Any]) -> "Plan":
    """A plan as `model_dump` wrote it.

    Raises:
        ValidationError: it is no plan of its modality.
    """
    return MODALITIES.get(document["modality"]).plan_type().model_validate(document)


def plans_of(package: "ModelPackage") -> "list[tuple[Any, dict[str, Any], str]]":
    """Of each network of a model: the value of its fold, its plan, and what its weights' names
    begin with. Of a model of one: None, its plan and nothing."""
    if "folds" not in package.config:
        return [(None, package.config["plan"], "")]
    members = package.config["folds"]["members"]
    return [(one["value"], one["plan"], f"{at}.") for at, one in enumerate(members)]
