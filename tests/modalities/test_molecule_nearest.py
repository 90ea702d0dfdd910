"""How like the nearest training compound is: exact, and of those that a network learnt from."""

from collections.abc import Callable

import numpy as np
import pytest

from medray.errors import SpecError
from medray.jobs.run import run
from medray.modalities import kept
from medray.modalities.base import Asking
from medray.modalities.folds import predictor_of
from medray.modalities.loaded import load_model
from medray.modalities.molecule import MoleculeSamples
from medray.modalities.molecule.cases import gather
from medray.modalities.molecule.design import environments
from medray.modalities.molecule.plan import MoleculePredictOptions
from medray.modalities.molecule.similarity import BITS, bits_of, nearest
from medray.storage.catalog.datasets import Dataset, open_dataset
from medray.storage.shards.samples import Sample
from medray.storage.shards.stored import InShard
from medray.storage.store.objects import Objects
from tests.modalities.test_molecule import job
from tests.molecules import molecules

Make = Callable[[str, list[Sample]], Dataset]
NET = {"name": "dmpnn", "hidden": 8, "layers": 2}


def similarities(data: Dataset, learnt: list[int]) -> np.ndarray:
    """Of all compounds to the nearest of some, by sets."""
    graphs = gather(data, range(len(data)), True, ()).graphs
    assert graphs is not None
    sets = [set(np.flatnonzero(one).tolist()) for one in environments(graphs)]
    return np.array([max(len(a & sets[b]) / len(a | sets[b]) for b in learnt) for a in sets])


def test_the_nearest_is_found(make_dataset: Make) -> None:
    data = make_dataset("molecules", molecules(30))
    graphs = gather(data, range(30), True, ()).graphs
    assert graphs is not None
    bits = bits_of(graphs)
    assert (bits.shape, bits.dtype) == ((30, 256), np.uint8)
    found = nearest(bits, bits[:20])
    assert found == pytest.approx(similarities(data, list(range(20))))
    assert (found[:20] == 1).all()
    assert found[20:].min() < 1


def test_a_prediction_says_how_like_the_nearest_is(objects: Objects, make_dataset: Make) -> None:
    data = make_dataset("molecules", molecules(60))
    steps = job({"name": "regression"}, NET)
    steps[1] |= {"options": {"nearest": True}, "select": {}}
    run(steps, storage=objects, cluster="inline")
    found = open_dataset(objects, "found").samples
    wanted = similarities(data, data.select({"split": "train"}))
    assert found["nearest"].to_pylist() == pytest.approx(wanted.tolist(), abs=1e-6)
    # One by one, as an endpoint asks, it is the same.
    asked = predictor_of(load_model(objects, "net"), Asking(MoleculePredictOptions(nearest=True)))
    prepared = [asked.prepare(InShard(data.shards[0], at), 1) for at in (3, 17)]
    rows = [one.row for one in asked.compute(prepared)]
    assert [one["nearest"] for one in rows] == pytest.approx(wanted[[3, 17]].tolist(), abs=1e-6)
    assert [one["predicted"] for one in rows] == pytest.approx(
        [found["predicted"][at].as_py() for at in (3, 17)], abs=1e-5
    )


def test_each_fold_knows_what_it_learnt_from(objects: Objects, make_dataset: Make) -> None:
    data = make_dataset("molecules", molecules(60))
    steps = job({"name": "regression"}, NET, epochs=1)[:2]
    steps[0] |= {"select": {"split": ["train", "val"]}, "folds": "fold"}
    steps[1] |= {"options": {"nearest": True}, "select": {"split": ["train", "val"]}}
    unseen = {**steps[1], "select": {"split": "test"}, "output": "unseen"}
    run([*steps, unseen], storage=objects, cluster="inline")
    rows = data.samples.to_pylist()
    learnt = [at for at, row in enumerate(rows) if row["split"] != "test"]
    each = [
        similarities(data, [at for at in learnt if rows[at]["fold"] != fold]) for fold in range(3)
    ]
    for row in open_dataset(objects, "found").samples.to_pylist():
        wanted = each[row["fold"]][int(row["sample_id"][1:])]
        assert row["nearest"] == pytest.approx(wanted, abs=1e-6)
    for row in open_dataset(objects, "unseen").samples.to_pylist():
        wanted = np.mean([one[int(row["sample_id"][1:])] for one in each])
        assert row["nearest"] == pytest.approx(wanted, abs=1e-6)


def test_so_many_are_kept_at_most(
    objects: Objects, make_dataset: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept, "MOST", 7)
    data = make_dataset("molecules", molecules(60))
    run(job({"name": "regression"}, NET, epochs=1)[:1], storage=objects, cluster="inline")
    bits = load_model(objects, "net").only.kept()[BITS]
    every = data.select({"split": "train"})
    graphs = gather(data, [every[0], every[-1]], True, ()).graphs
    assert graphs is not None
    assert len(bits) == 7
    assert np.array_equal(bits[[0, -1]], bits_of(graphs))


def test_a_model_that_keeps_nothing_says_so(
    objects: Objects, make_dataset: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_dataset("molecules", molecules(20))
    monkeypatch.setattr(MoleculeSamples, "keeps", lambda *_: {})
    run(job({"name": "regression"}, NET, epochs=1)[:1], storage=objects, cluster="inline")
    with pytest.raises(SpecError) as caught:
        predictor_of(load_model(objects, "net"), Asking(MoleculePredictOptions(nearest=True)))
    assert caught.value.code == "nothing-kept"
    asked = {**job({"name": "regression"}, NET)[1], "options": {"nearest": True}}
    with pytest.raises(SpecError) as caught:  # before any unit
        run([asked], storage=objects, cluster="inline")
    assert caught.value.code == "nothing-kept"
