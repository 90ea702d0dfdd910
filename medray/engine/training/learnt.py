"""Which samples and subjects a model learnt from, and how many of those that are scored these are.

A package keeps hashes of their names, not the names: of samples and of subjects, each network's by
itself. Names are compared across datasets: the same cases ingested anew, under another name, are
the leak that nobody sees.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from safetensors.numpy import save

from medray.engine.training.setup import TrainSetup
from medray.errors import SpecError
from medray.modalities.learnt import Learnt, hashes
from medray.storage.catalog.datasets import Dataset, open_dataset
from medray.storage.catalog.models import ModelPackage, open_model
from medray.storage.store.objects import Objects


def learnt(setups: Sequence[TrainSetup]) -> bytes:
    """What a package keeps: of each network the samples and subjects that it learnt from, with
    their targets or without.

    Of a network that began with another's weights these are also what that one learnt from.
    """
    tensors: dict[str, np.ndarray] = {}
    for at, setup in enumerate(setups):
        data = open_dataset(setup.objects, setup.data)
        found = _names(data, data.select(setup.select))
        if setup.unlabelled is not None:
            other = open_dataset(setup.objects, setup.unlabelled.data or setup.data)
            more = _names(other, other.select(setup.unlabelled.select))
            found = {kind: np.concatenate([found[kind], more[kind]]) for kind in found}
        if setup.settings.first_model is not None:
            before = Learnt(open_model(setup.objects, setup.settings.first_model))
            for one in before.members:
                found = {kind: np.concatenate([found[kind], one[kind]]) for kind in found}
        tensors |= {f"{at}.{kind}": np.unique(values) for kind, values in found.items()}
    made: bytes = save(tensors)
    return made


def overlap(
    objects: Objects, predictions: Dataset, truth: Dataset, cases: pa.Table
) -> dict[str, int] | None:
    """How many of the cases that are scored the model learnt from.

    Args:
        objects: the storage root.
        predictions: that were scored; the model they name need not be there any more.
        truth: the dataset of the cases, which has the column that parts folds.
        cases: rows of scores, with `case`, and `subject` where the truth knows it.

    Returns:
        `cases`: all of them; `samples`: those it learnt from; `subjects`: others, of subjects that
        it learnt from. None where the model does not say what it learnt from.
    """
    try:
        package = open_model(objects, str(predictions.attributes.get("model", "")))
    except SpecError:
        return None
    learnt = Learnt(package)
    if not learnt.members:
        return None
    pairs: dict[str, str] = dict.fromkeys(cases["case"].to_pylist(), "")
    if "subject" in cases.column_names:
        known = cases["subject"].to_pylist()
        pairs = {
            case: subject or ""
            for case, subject in zip(cases["case"].to_pylist(), known, strict=True)
        }
    ids, subjects = list(pairs), list(pairs.values())
    column = str(package.config.get("folds", {}).get("column", ""))
    values = None
    if column == "sample_id" or column in truth.manifest.columns:
        table = truth.columns(list(dict.fromkeys(["sample_id", column])))
        told = dict(zip(table["sample_id"].to_pylist(), table[column].to_pylist(), strict=True))
        values = [told.get(one) for one in ids]
    asked = learnt.asked(predictions.attributes.get("held_out"), subjects, values)
    seen = (asked & learnt.saw("samples", ids)).any(1)
    shared = (asked & learnt.saw("subjects", subjects)).any(1)
    return {
        "cases": len(ids),
        "samples": int(seen.sum()),
        "subjects": int((shared & ~seen).sum()),
    }


def learnt_from(package: ModelPackage, data: Dataset, chosen: Sequence[int]) -> bool:
    """Whether a model learnt from any subject of some samples, or where there are none, any sample.

    True where the model does not say what it learnt from.
    """
    members = Learnt(package).members
    if not members:
        return True
    found = _names(data, chosen)
    kind = "subjects" if len(found["subjects"]) else "samples"
    return any(bool(np.isin(found[kind], member[kind]).any()) for member in members)


def samples_learnt(package: ModelPackage, data: Dataset) -> list[int]:
    """Which samples of a dataset a model of one network learnt from.

    Raises:
        SpecError: the model does not say (code "not-told"), or it learnt from none of these (code
            "other-data").
    """
    members = Learnt(package).members
    if not members:
        raise SpecError(
            "the model does not say what it learnt from",
            code="not-told",
            about=package.reference,
            hint="train it again",
        )
    found = np.isin(_names(data, range(len(data)))["samples"], members[0]["samples"])
    if not found.any():
        raise SpecError(
            "the model learnt from none of these samples",
            code="other-data",
            about=f"{package.reference}, {data.reference}",
            hint="it needs the data that it was trained on",
        )
    return [int(at) for at in np.flatnonzero(found)]


def _names(data: Dataset, chosen: Sequence[int]) -> dict[str, np.ndarray]:
    columns = [name for name in ("sample_id", "subject") if name in data.manifest.columns]
    table = data.columns(columns).take(pa.array(chosen, pa.int64()))
    subjects = table["subject"].drop_null().to_pylist() if "subject" in columns else []
    return {
        "samples": hashes(table["sample_id"].to_pylist()),
        "subjects": hashes(str(one) for one in set(subjects) if one),
    }
