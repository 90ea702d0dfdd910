"""A model of line notations draws molecules: by slices, the same after a kill, and told of."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import selfies
import torch

from medray.errors import InterruptedRun
from medray.jobs.check import check_documents
from medray.jobs.run import run
from medray.report.collect import collect
from medray.report.page import render
from medray.spec.load import read_job
from medray.steps.base.events import Event
from medray.storage.catalog.datasets import Dataset, open_dataset
from medray.storage.catalog.models import open_model
from medray.storage.shards.samples import Sample
from medray.storage.store.objects import Objects

Make = Callable[[str, list[Sample]], Dataset]

ENDS = ("C", "CC", "O", "N", "F", "Cl", "Br", "OC")
TRAIN: dict[str, Any] = {
    "kind": "train",
    "data": "rings",
    "task": {"name": "language"},
    "model": {"name": "notation-lstm", "hidden": 48, "embedding": 8},
    "train": {"epochs": 12, "batch_size": 16, "optimiser": {"lr": 1e-2}},
    "output": "writer",
}
GENERATE: dict[str, Any] = {
    "kind": "generate",
    "model": "writer",
    "count": 50,
    "unit": 8,
    "options": {"temperature": 0.7},
    "output": "drawn",
}


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def rings(make_dataset: Make) -> Dataset:
    """Benzene with two or three ends: 300 different SMILES, a tenth of them held out."""
    generator, texts = np.random.default_rng(0), []
    while len(texts) < 300:
        one, two, three = generator.choice(ENDS, 3)
        text = (
            f"{one}c1ccc({two})cc1"
            if generator.random() < 0.3
            else f"{one}c1cc({two})cc({three})c1"
        )
        if text not in texts:
            texts.append(text)
    return make_dataset(
        "rings",
        [
            Sample(f"m{at}", {"canonical": text, "split": "train" if at % 10 else "val"})
            for at, text in enumerate(texts)
        ],
    )


def test_from_texts_to_molecules_and_a_page(rings: Dataset, objects: Objects) -> None:
    done = run([TRAIN, GENERATE], storage=objects, cluster="inline")
    trained, drawn = done.steps
    assert trained.metrics["val_nats"] < 0.6  # of 15 tokens; at random it is ln 15 = 2.7
    assert (drawn.units.planned, drawn.units.committed) == (7, 7)
    table = open_dataset(objects, "drawn").samples
    assert table["sample_id"].to_pylist()[::49] == ["00000000", "00000049"]
    valid = [row for row in table.to_pylist() if row["valid"]]
    assert drawn.metrics["valid"] == len(valid) / 50 > 0.5
    assert all(row["canonical"] and row["nats"] > 0 for row in valid)
    page = render(collect(objects, "job", [step.as_json() for step in done.steps]))
    new = round(drawn.metrics["product"] * 50)
    assert page.count("data:image/svg+xml;base64,") == min(12, new) > 0
    assert "Molecules: drawn" in page


def test_every_text_of_selfies_is_a_molecule(
    rings: Dataset, make_dataset: Make, objects: Objects
) -> None:
    """After one epoch, too; and the rows have SMILES."""
    rows = rings.samples.select(["canonical", "split"]).to_pylist()
    told = [{"selfies": selfies.encoder(row["canonical"]), "split": row["split"]} for row in rows]
    make_dataset("told", [Sample(f"m{at}", row) for at, row in enumerate(told)])
    short = {**TRAIN["train"], "epochs": 1}
    train = {**TRAIN, "data": "told", "plan": {"notation": "selfies"}, "train": short}
    drawn = run([train, GENERATE], storage=objects, cluster="inline").steps[1]
    table = open_dataset(objects, "drawn").samples
    ended = [text for text in table["smiles"].to_pylist() if text]
    assert drawn.metrics["valid"] == len(ended) / 50 > 0.7
    longest = 2 * open_model(objects, "writer").config["plan"]["longest"]
    others = [row["tokens"] for row in table.to_pylist() if not row["valid"]]
    # Nothing but an order to close a ring is no molecule, nor is what does not end.
    assert all(tokens <= 2 or tokens == longest + 1 for tokens in others)
    assert drawn.metrics["floor_valid"] > 0.9
    assert table["smiles"].to_pylist() == [one or "" for one in table["canonical"].to_pylist()]
    assert not any("[C]" in text for text in ended)


def test_a_stopped_generation_goes_on_to_the_same_samples(rings: Dataset, objects: Objects) -> None:
    stop = threading.Event()

    def listen(event: Event) -> None:
        if event.name == "unit":
            stop.set()

    run([TRAIN], storage=objects, cluster="inline")
    with pytest.raises(InterruptedRun):
        run([GENERATE], storage=objects, cluster="inline", on_event=listen, stop=stop)
    resumed = run([GENERATE], storage=objects, cluster="inline").steps[0]
    assert 1 <= resumed.units.skipped == 7 - resumed.units.committed < 7
    whole = run([{**GENERATE, "output": "whole"}], storage=objects, cluster="inline").steps[0]
    assert whole.units.committed == 7
    first = open_dataset(objects, "drawn")
    assert open_dataset(objects, "whole").digest == first.digest
    other = run([{**GENERATE, "seed": 1, "output": "other"}], storage=objects, cluster="inline")
    assert open_dataset(objects, other.output).digest != first.digest
    longer = run([{**GENERATE, "count": 70}], storage=objects, cluster="inline").steps[0]
    assert (longer.units.skipped, longer.units.committed) == (6, 3)  # 48-50 became 48-56


@pytest.mark.parametrize(
    ("change", "field", "code"),
    [
        ({"options": {"temperature": 0}}, "options.temperature", "bad-field"),
        ({"options": {"beam": 3}}, "options.beam", "bad-field"),
        ({"model": "scorer"}, "model", "no-generation"),
        ({"model": "folded"}, "model", "folded-model"),
        ({"model": "writre"}, "model", "no-such-model"),
    ],
)
def test_what_cannot_draw_is_told_before_anything_runs(
    rings: Dataset, objects: Objects, change: dict[str, Any], field: str, code: str
) -> None:
    scorer = {
        **TRAIN,
        "task": {"name": "classification", "classes": ["a", "b"], "target": "split"},
        "model": {"name": "mlp"},
        "output": "scorer",
    }
    folded = {**TRAIN, "folds": "split", "output": "folded"}
    job = read_job([TRAIN, scorer, folded, {**GENERATE, **change}])
    found = check_documents(job, objects, cluster="inline")[1]
    assert (4, field, code) in [(one.document, one.field, one.code) for one in found]
