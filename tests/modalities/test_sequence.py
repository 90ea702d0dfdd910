"""Sequences from stored samples to a model that answers, alone and by folds."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch

from medray.data.ahead import many_ahead
from medray.data.batch import Batch
from medray.data.order import Order
from medray.errors import SpecError
from medray.formats.genomics.alphabet import PAD, decode, reverse_complement
from medray.jobs.run import run
from medray.modalities import modality_of
from medray.modalities.plan import Wanted
from medray.modalities.sequence import Sequences
from medray.modalities.sequence import cases as loading
from medray.modalities.sequence.augment import SequenceAugment
from medray.modalities.sequence.cases import SequenceCases, SequenceLoader, tokens_of
from medray.modalities.sequence.plan import SequencePlan, SequencePlanOptions
from medray.spec.training import TrainSettings
from medray.storage.catalog.datasets import Dataset, open_dataset
from medray.storage.catalog.models import open_model
from medray.storage.shards.samples import Sample
from medray.storage.store.objects import Objects
from medray.tasks import build_task

MOTIF = "TATAAT"
TASK = {"name": "classification", "classes": ["none", "motif"]}
MODEL = {"name": "seq_cnn", "kernels": [7], "filters": 16, "pool": "max", "dropout": 0.0}

Make = Callable[[str, list[Sample]], Dataset]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def motifs(make_dataset: Make) -> Dataset:
    """120 sequences of 30 to 40 bases; every other has the motif somewhere."""
    generator = np.random.default_rng(0)
    samples = []
    for number in range(120):
        text = "".join(generator.choice(list("ACGT"), generator.integers(30, 41)))
        if number % 2:
            at = int(generator.integers(0, len(text) - 6))
            text = text[:at] + MOTIF + text[at + 6 :]
        row = {"sequence": text, "target": number % 2, "fold": number % 3}
        samples.append(Sample(f"s{number:03d}", row))
    return make_dataset("motifs", samples)


def column(texts: list[str]) -> Any:
    import pyarrow as pa

    return pa.chunked_array([pa.array(texts)])


def test_sequences_of_other_lengths_keep_the_end_that_is_asked_for() -> None:
    texts = column(["ACG", "ACGTACG", "ACGTA"])
    shown = {
        align: [decode(row) for row in tokens_of(texts, 5, align)]
        for align in ("left", "centre", "right")
    }
    assert shown == {
        "left": ["ACG..", "ACGTA", "ACGTA"],
        "centre": [".ACG.", "CGTAC", "ACGTA"],
        "right": ["..ACG", "GTACG", "ACGTA"],
    }


def test_a_slice_of_a_column_is_read_where_it_lies() -> None:
    texts = column(["AAAA", "CCCC", "GGGG", "TTTT"])
    assert [decode(row) for row in tokens_of(texts.slice(1, 2), 4, "left")] == ["CCCC", "GGGG"]


def test_batches_are_the_same_for_any_number_of_ranks(motifs: Dataset) -> None:
    cases = SequenceCases(motifs, range(120), 41)
    order = Order(120, 32, seed=5)
    augment = SequenceAugment(reverse_complement=True, shift_bases=3)
    targets = torch.arange(120)

    def loader(rank: int, size: int) -> SequenceLoader:
        return SequenceLoader(cases, order, targets=targets, augment=augment, share=(rank, size))

    for step in (0, 3, 4):
        (whole,) = loader(0, 1).batch(step).parts
        parts = [loader(rank, 3).batch(step).parts[0] for rank in range(3)]
        assert torch.equal(torch.cat([part.inputs for part in parts]), whole.inputs)
        assert torch.equal(torch.cat([part.target for part in parts]), whole.target)
    drawn = torch.cat([loader(0, 1).batch(step).parts[0].target for step in range(15)])
    assert sorted(drawn[:120].tolist()) == list(range(120))  # a pass sees each sample once


def test_the_other_strand_is_shown_to_half_of_the_draws(motifs: Dataset) -> None:
    cases = SequenceCases(motifs, range(120), 41)
    augment = SequenceAugment(reverse_complement=True)
    targets = torch.arange(120)
    loader = SequenceLoader(cases, Order(120, 120, 0), targets=targets, augment=augment)
    (batch,) = loader.batch(0).parts
    turned = 0
    for tokens, sample in zip(batch.inputs.numpy(), batch.target.tolist(), strict=True):
        own = cases.tokens[sample]
        inside = own != PAD
        if (tokens == own).all():
            continue
        turned += 1
        assert (tokens[~inside] == PAD).all()
        assert (tokens[inside] == reverse_complement(own[inside])).all()
    assert 40 < turned < 80


@pytest.mark.parametrize("device", ["cpu", "cuda"])  # on a thread for what is no CPU
def test_batches_are_those_of_their_steps(device: str, motifs: Dataset) -> None:
    cases = SequenceCases(motifs, range(120), 41)
    augment = SequenceAugment(reverse_complement=True, shift_bases=2)
    loader = SequenceLoader(cases, Order(120, 50, 3), targets=torch.arange(120), augment=augment)

    def make(steps: range) -> Iterator[Batch]:
        return map(loader.batch, steps)

    made = list(many_ahead(make, range(3, 80), prefetch=2, device=torch.device(device)))
    assert [one.step for one in made] == list(range(3, 80))
    for one, other in zip(made, loader.batches(3, 80), strict=True):
        assert torch.equal(one.parts[0].inputs, other.parts[0].inputs)
        assert torch.equal(one.parts[0].target, other.parts[0].target)


@pytest.mark.parametrize("align", ["left", "centre", "right"])
@pytest.mark.parametrize("shift", [0, 3])
def test_turned_sequences_are_the_same_whether_held_or_turned_when_drawn(
    align: Any, shift: int, motifs: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    augment = SequenceAugment(reverse_complement=True, shift_bases=shift)
    monkeypatch.setattr(loading, "TURNED", 7)
    batches = []
    for most in (2**40, 0):
        monkeypatch.setattr(loading, "TWICE_BYTES", most)
        cases = SequenceCases(motifs, range(120), 61, align)
        cases.tokens[::5, 30] = 4  # N
        loader = SequenceLoader(
            cases, Order(120, 50, 3), targets=torch.arange(120), augment=augment
        )
        batches.append([one.parts[0].inputs for one in loader.batches(0, 9)])
    for held, drawn in zip(*batches, strict=True):
        assert torch.equal(held, drawn)


def job(**train: Any) -> list[dict[str, Any]]:
    settings = {"epochs": 30, "batch_size": 24, "select": "last", "augment": None}
    settings |= {"checkpoint_every": 1000}
    return [
        {
            "kind": "train",
            "data": "motifs",
            "select": {},
            "validation": {},
            "task": TASK,
            "model": MODEL,
            "output": "finder",
            "train": settings | {"optimiser": {"lr": 0.01}},
            **train,
        },
        {"kind": "predict", "model": "finder", "data": "motifs", "output": "found", "batch": 16},
        {"kind": "evaluate", "predictions": "found", "data": "motifs", "output": "scores"},
    ]


@pytest.mark.parametrize("folds", [None, "fold"])
def test_a_network_finds_the_motif(motifs: Dataset, objects: Objects, folds: str | None) -> None:
    made = run(job(folds=folds), storage=objects, cluster="inline")
    area = made.steps[-1].metrics["auroc"]
    assert area > (0.85 if folds else 0.95)
    rows = open_dataset(objects, "found").samples.to_pylist()
    assert [row["sample_id"] for row in rows] == [f"s{number:03d}" for number in range(120)]
    assert "sequence" not in rows[0]
    package = open_model(objects, "finder")
    if folds is None:
        assert package.config["plan"]["length"] == 40
        return
    assert [one["value"] for one in package.config["folds"]["members"]] == [0, 1, 2]
    assert package.metrics["folds"] == 3


def test_held_out_samples_are_answered_by_the_network_that_has_not_seen_them(
    motifs: Dataset, objects: Objects, make_dataset: Make
) -> None:
    run(job(folds="fold")[:2], storage=objects, cluster="inline")
    held_out = [row["probability"][1] for row in open_dataset(objects, "found").samples.to_pylist()]
    rows = motifs.samples.drop_columns(["_shard", "_row"]).to_pylist()
    make_dataset("copy", [Sample(row.pop("sample_id"), row) for row in rows])
    again = [{"kind": "predict", "model": "finder", "data": "copy", "output": "mean", "batch": 16}]
    run(again, storage=objects, cluster="inline")
    means = [row["probability"][1] for row in open_dataset(objects, "mean").samples.to_pylist()]
    wrong = np.abs(np.asarray(held_out) - np.arange(120) % 2).mean()
    seen = np.abs(np.asarray(means) - np.arange(120) % 2).mean()
    assert seen < 0.8 * wrong  # two of three networks have learnt each sample


def test_each_sample_is_left_out_once(motifs: Dataset, objects: Objects) -> None:
    """More networks than the same ranks train, 16, and each answers its own sample."""
    ids = [f"s{number:03d}" for number in range(18)]
    steps = job(folds="sample_id", select={"sample_id": ids})[:2]
    steps[0]["train"] |= {"epochs": 1, "batch_size": 8}
    steps[1] |= {"select": {"sample_id": ids}}
    run(steps, storage=objects, cluster="inline")
    members = open_model(objects, "finder").config["folds"]["members"]
    assert [one["value"] for one in members] == ids
    rows = open_dataset(objects, "found").samples.to_pylist()
    assert [row["sample_id"] for row in rows] == ids
    assert len({tuple(row["probability"]) for row in rows}) == 18


def test_the_plan_is_of_the_training_samples(motifs: Dataset) -> None:
    task = build_task(TASK)
    wanted = Wanted(MODEL, TrainSettings(), SequencePlanOptions())
    plan = modality_of(MODEL).plan(motifs, range(0, 120, 3), task, wanted)
    assert isinstance(plan, SequencePlan)
    texts = motifs.samples["sequence"].to_pylist()[::3]
    assert plan.length == max(map(len, texts))
    assert plan.frequencies == (0.5, 0.5)
    assert (plan.samples, plan.batch_size) == (40, 4)
    wanted = Wanted(MODEL, TrainSettings(), SequencePlanOptions(length=7, align="right"))
    fixed = modality_of(MODEL).plan(motifs, range(9), task, wanted)
    assert (fixed.length, fixed.align) == (7, "right")
    assert fixed.reasons["length"] == "given by the job"


def test_images_are_no_sequences(balls: Dataset) -> None:
    with pytest.raises(SpecError) as caught:
        SequenceCases(balls, [0], 5)
    assert caught.value.code == "no-sequences"


def test_an_answer_per_base_needs_a_network_that_gives_one() -> None:
    plan = SequencePlan(
        classes=("no", "yes"),
        batch_size=2,
        frequencies=(0.5, 0.5),
        samples=2,
        length=8,
        answers="place",
    )
    with pytest.raises(SpecError) as caught:
        Sequences().build({"name": "attention_lstm"}, plan)
    assert caught.value.code == "task-mismatch"
    network = Sequences().build({"name": "lstm"}, plan)
    assert network(torch.zeros(2, 8, dtype=torch.uint8)).shape == (2, 2, 8)


@pytest.mark.parametrize("how", ["gradients", "mutagenesis"])
def test_attributions_point_at_the_motif(motifs: Dataset, objects: Objects, how: str) -> None:
    steps = job()[:2]
    steps[1] |= {"options": {"outputs": how}, "select": {"target": 1}, "output": "tracks"}
    run(steps, storage=objects, cluster="inline")
    tracks = open_dataset(objects, "tracks")
    texts = {row["sample_id"]: row["sequence"] for row in motifs.samples.to_pylist()}
    hits = 0
    for index, row in enumerate(tracks.samples.to_pylist()):
        track = tracks.array(index, "track")[...]
        text = texts[row["sample_id"]]
        assert track.shape == (1 if how == "gradients" else 4, len(text))
        if how == "mutagenesis":
            own = ["ACGT".index(base) for base in text]
            assert not track[own, range(len(text))].any()
        at = text.index(MOTIF)
        weight = np.abs(track).sum(0)
        hits += weight[at : at + 6].mean() > 3 * np.delete(weight, range(at, at + 6)).mean()
    assert hits > 50  # of 60
    step = {"kind": "evaluate", "predictions": "tracks", "data": "motifs", "output": "scores"}
    with pytest.raises(SpecError) as caught:
        run([step], storage=objects, cluster="inline")
    assert caught.value.code == "no-predictions"


def test_attributions_of_gradients_add_up(motifs: Dataset, objects: Objects) -> None:
    from medray.modalities.loaded import load_trained
    from medray.modalities.sequence.explain import attribute

    run(job()[:1], storage=objects, cluster="inline")
    network = load_trained(objects, "finder").network
    tokens = torch.from_numpy(SequenceCases(motifs, range(1, 20, 2), 40).tokens)
    blank = torch.where(tokens == PAD, tokens, torch.tensor(4, dtype=torch.uint8))
    with torch.inference_mode():
        rise = network(tokens) - network(blank)
    chosen = network(tokens).argmax(1)
    found = attribute(network, tokens, "gradients", chosen).sum((1, 2))
    assert np.corrcoef(found, rise.gather(1, chosen[:, None])[:, 0].numpy())[0, 1] > 0.95
    with pytest.raises(SpecError) as caught:
        attribute(network, tokens, "attention", chosen)
    assert caught.value.code == "no-attention"
