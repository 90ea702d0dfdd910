"""Several models over all of a dataset in one pass, and the best samples of what they say."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from medray.errors import MedrayError
from medray.jobs.check import check_documents
from medray.jobs.run import run
from medray.modalities.molecule import predictor
from medray.modalities.molecule.cases import packed
from medray.report.collect import collect
from medray.report.page import render
from medray.spec.load import read_job
from medray.storage.catalog.commit import Commit
from medray.storage.catalog.commits import Commits
from medray.storage.catalog.datasets import Dataset, open_dataset
from medray.storage.catalog.ledger import Ledger
from medray.storage.catalog.publish import publish
from medray.storage.shards.samples import Sample
from medray.storage.shards.writer import ShardWriter
from medray.storage.store.objects import Objects
from tests.declared import DECLARED
from tests.molecules import molecules

VALUE = {"name": "regression", "target": "value"}
LABELS = {"name": "classification", "classes": ["small", "large"], "target": "size"}
NETS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "plain": (VALUE, {"name": "message-passing", "hidden": 8, "layers": 2}),
    "bits": (VALUE, {"name": "dmpnn", "hidden": 8, "layers": 2, "beside": ["fingerprint"]}),
    "sizes": (LABELS, {"name": "message-passing", "hidden": 8, "layers": 1}),
}
SCREEN: dict[str, Any] = {
    "kind": "screen", "models": {name: f"{name}-net" for name in NETS}, "data": "library",
    "keep": ["smiles"], "output": "scores",
}  # fmt: skip
RANK = {"kind": "rank", "data": "scores", "by": "plain", "count": 5, "output": "hits"}
COLUMNS = ["sample_id", "smiles", "bits", "plain", "sizes.small", "sizes.large"]


def stored(objects: Objects, name: str, units: Sequence[Sequence[Sample]]) -> Dataset:
    """A dataset of so many units."""
    ledger, commits = Ledger(objects, name), []
    for number, samples in enumerate(units):
        unit = f"u{number}"
        if (done := ledger.commit_of(unit)) is None:
            attempt = ledger.begin(unit)
            writer = ShardWriter(objects, ledger.shard_path(attempt), DECLARED)
            for sample in samples:
                writer.add(sample)
            made = Commit(unit, attempt.id, writer.finish(), len(samples), [])
            done = ledger.commit(attempt, made)
        commits.append(done)
    about: dict[str, Any] = {"kind": "t", "spec": "", "refused": [], "parents": []}
    return publish(objects, name, commits=Commits.of(commits), **about)


def library(count: int, seed: int = 5) -> list[Sample]:
    made = molecules(count, seed)
    for one in made:
        one.id = f"{one.id}-{seed}"
        one.row["size"] = ("small", "large")[len(one.arrays["atoms"]) > 6]  # type: ignore[arg-type]
    return made


@pytest.fixture
def trained(objects: Objects) -> None:
    """Three models."""
    stored(objects, "learnt", [library(60, seed=1)])
    train = {"epochs": 1, "batch_size": 8, "threads": 1, "checkpoint_every": 1000}
    for name, (task, model) in NETS.items():
        step = {"kind": "train", "data": "learnt", "task": task, "model": model, "train": train}
        run([{**step, "output": f"{name}-net"}], storage=objects, cluster="inline")


def screened(objects: Objects, *more: dict[str, Any], **changed: Any) -> Any:
    return run([{**SCREEN, **changed}, *more], storage=objects, cluster="inline").steps


@pytest.mark.usefixtures("trained")
def test_scores_are_those_of_each_model_by_itself(
    objects: Objects, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = stored(objects, "library", [library(20), library(33, 6)])
    made: list[tuple[str, ...]] = []

    def counted(arrays: Any, about: str) -> Any:
        made.append(tuple(arrays))
        return packed(arrays, about)

    monkeypatch.setattr(predictor, "packed", counted)
    (step,) = screened(objects, unit=25)
    assert step.units.committed == 3  # ranges: 20, 25 and 8 rows
    graph = ("atoms", "bonds", "bond_features")
    assert made.count(graph) == made.count(("fingerprint",)) == 3, "once for all models"
    table = open_dataset(objects, "scores").samples
    assert table.column_names[: len(COLUMNS)] == COLUMNS
    for name in ("sample_id", "smiles"):
        assert table[name].to_pylist() == data.samples[name].to_pylist()
    for name in NETS:
        alone = {"kind": "predict", "model": f"{name}-net", "data": "library", "output": "alone"}
        run([alone], storage=objects, cluster="inline")
        found = open_dataset(objects, "alone").samples
        if name == "sizes":
            wanted = np.array(found["probability"].to_pylist())
            given = np.stack([table["sizes.small"], table["sizes.large"]], 1)
        else:
            wanted, given = np.array(found["predicted"]), np.asarray(table[name])
        assert np.allclose(given, wanted, atol=1e-6)
        assert wanted.std() > 0


@pytest.mark.usefixtures("trained")
def test_only_what_is_new_is_computed(objects: Objects) -> None:
    units = [library(8, 1), library(8, 2), library(8, 3)]
    stored(objects, "library", units[:2])
    first, hits = screened(objects, RANK)
    assert (first.units.committed, first.units.skipped) == (2, 0)
    stored(objects, "library", units)
    second, more = screened(objects, RANK)
    assert (second.units.committed, second.units.skipped) == (1, 2)
    assert more.units.committed == 1
    again = screened(objects, RANK)
    assert [(one.units.committed, one.units.skipped) for one in again] == [(0, 3), (0, 1)]
    assert [one.digest for one in again] == [second.digest, more.digest]
    assert hits.digest != more.digest


@pytest.mark.usefixtures("trained")
def test_a_score_that_is_no_number_is_null_and_the_others_stand(
    objects: Objects, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = library(40)
    stored(objects, "library", [samples])
    screened(objects)
    clean = open_dataset(objects, "scores").samples
    asked = predictor.MoleculePredictor._ask

    def spoilt(self: Any, inputs: Any) -> np.ndarray:
        if self.trained.reference.startswith("plain"):
            with torch.no_grad():
                table = self.trained.network.atoms.table.weight
                table[self.trained.network.atoms.first[0] + 17] = torch.inf
        return asked(self, inputs)

    monkeypatch.setattr(predictor.MoleculePredictor, "_ask", spoilt)
    screened(objects, output="spoilt")
    found = open_dataset(objects, "spoilt").samples
    chlorine = [bool((one.arrays["atoms"][:, 0] == 17).any()) for one in samples]  # type: ignore[index]
    assert 0 < sum(chlorine) < 40
    assert [value is None for value in found["plain"].to_pylist()] == chlorine
    for at in np.flatnonzero(~np.array(chlorine)).tolist():
        assert found["plain"][at].as_py() == pytest.approx(clean["plain"][at].as_py(), abs=1e-6)
    assert found["bits"].equals(clean["bits"])
    assert not found["sizes.large"].null_count


@pytest.mark.parametrize("best", ["largest", "smallest"])
@pytest.mark.parametrize("count", [1, 7, 30, 500])
def test_the_best_are_those_of_a_sorted_list(objects: Objects, best: str, count: int) -> None:
    chance = np.random.default_rng(3)
    ids = [f"r{number:02d}" for number in chance.permutation(60)]
    values = [None if number % 7 == 0 else float(chance.integers(0, 9)) for number in range(60)]
    samples = [Sample(*row) for row in zip(ids, ({"v": value} for value in values), strict=True)]
    step = {"kind": "rank", "by": "v", "best": best, "count": count}
    digests = set()
    for name, cuts in (("whole", [60]), ("cut", [1, 2, 20, 44, 60]), ("other", [31, 60])):
        units = [samples[a:b] for a, b in zip([0, *cuts], cuts, strict=False)]
        stored(objects, name, units)
        job = [{**step, "data": name, "output": f"{name}-best"}]
        (done,) = run(job, storage=objects, cluster="inline").steps
        digests.add(done.digest)
        assert not (Ledger(objects, f"{name}-best").done() - {done_unit(objects, name)})
    table = open_dataset(objects, "cut-best").samples
    sign = -1 if best == "largest" else 1
    known = [
        (sign * value, one) for one, value in zip(ids, values, strict=True) if value is not None
    ]
    wanted = sorted(known)[:count]
    assert list(zip(table["v"].to_pylist(), table["sample_id"].to_pylist(), strict=True)) == [
        (sign * value, one) for value, one in wanted
    ]
    assert table["rank"].to_pylist() == list(range(1, len(wanted) + 1))
    assert len(digests) == 1, "however the data are cut"


def done_unit(objects: Objects, name: str) -> str:
    (unit,) = open_dataset(objects, f"{name}-best").units.column("unit")
    return str(unit)


@pytest.mark.usefixtures("trained")
def test_a_page_shows_and_draws_the_first(objects: Objects) -> None:
    stored(objects, "library", [library(30)])
    steps = screened(objects, RANK)
    page = render(collect(objects, "job", [step.as_json() for step in steps]))
    assert "Ranked: hits" in page
    hits = open_dataset(objects, "hits").samples
    assert all(name in page for name in hits["sample_id"].to_pylist())
    assert page.count("data:image/svg+xml;base64,") == 5


@pytest.mark.usefixtures("trained")
@pytest.mark.parametrize(
    ("change", "field", "code"),
    [
        ({"models": {}}, "models", "bad-field"),
        ({"models": {"a": "plane-net"}}, "models.a", "no-such-model"),
        ({"models": {"smiles": "plain-net"}}, "models", "duplicate-column"),
        ({"keep": ["inchikey"]}, "keep", "no-such-column"),
        ({"data": "numbers"}, "data", "model-mismatch"),
    ],
)
def test_what_cannot_be_is_told_before(
    objects: Objects, change: dict[str, Any], field: str, code: str
) -> None:
    stored(objects, "library", [library(4)])
    stored(objects, "numbers", [[Sample("a", {"smiles": "C"})]])
    source = read_job([{**SCREEN, **change}])
    _, problems = check_documents(source, objects, cluster="inline", elsewhere=False)
    assert (field, code) in [(one.field, one.code) for one in problems]


def test_a_model_that_answers_otherwise_is_refused(objects: Objects) -> None:
    stored(objects, "library", [library(4)])
    writer = {
        "kind": "train", "data": "library", "task": {"name": "language"}, "output": "writer",
        "model": {"name": "notation-lstm"}, "plan": {"column": "smiles"},
    }  # fmt: skip
    source = read_job([writer, {**SCREEN, "models": {"a": "writer"}}])
    _, problems = check_documents(source, objects, cluster="inline", elsewhere=False)
    assert (2, "models.a", "no-score") in [(o.document, o.field, o.code) for o in problems]


def test_samples_that_are_prepared_one_by_one_and_networks_of_folds(objects: Objects) -> None:
    chance = np.random.default_rng(0)

    def table(count: int, name: str) -> list[Sample]:
        features = chance.normal(size=(count, 4)).astype(np.float32)
        rows = [{"fold": n % 3, "value": float(one.sum())} for n, one in enumerate(features)]
        pairs = zip(rows, features, strict=True)
        return [Sample(f"{name}{n}", row, {"features": one}) for n, (row, one) in enumerate(pairs)]

    stored(objects, "learnt", [table(30, "a")])
    stored(objects, "library", [table(11, "b")])
    train = {
        "kind": "train", "data": "learnt", "task": VALUE, "model": {"name": "mlp", "hidden": [4]},
        "select": {}, "folds": "fold", "output": "net", "train": {"epochs": 1, "threads": 1},
    }  # fmt: skip
    alone = {"kind": "predict", "model": "net", "data": "library", "output": "alone"}
    screen = {**SCREEN, "models": {"sum": "net"}, "keep": [], "batch": 4}
    run([train, alone, screen], storage=objects, cluster="inline")
    wanted = open_dataset(objects, "alone").samples["predicted"]
    given = open_dataset(objects, "scores").samples["sum"]
    assert np.allclose(given, wanted, atol=1e-6)
    assert np.std(wanted) > 0


def test_a_ranking_needs_a_column_of_numbers(objects: Objects) -> None:
    stored(objects, "library", [library(4)])
    for by in ("smiles", "affinity"):
        job = [{**RANK, "data": "library", "by": by}]
        with pytest.raises(MedrayError) as raised:
            run(job, storage=objects, cluster="inline")
        assert raised.value.code == "no-such-column"
