"""Line notations from stored texts to batches of like lengths, and answers."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from medray.data.dealt import Dealt
from medray.data.order import Order, share
from medray.errors import DataError, SpecError
from medray.jobs.run import run
from medray.modalities.notation.cases import WINDOW, NotationCases, texts_of
from medray.modalities.notation.generation import draw_tokens
from medray.modalities.notation.ngrams import Ngrams
from medray.modalities.notation.tokens import BOUNDARY, Codec, split, vocabulary
from medray.models.notation.base import END
from medray.models.notation.lstm import NotationLstm
from medray.storage.catalog.datasets import Dataset, open_dataset
from medray.storage.shards.samples import Sample
from medray.storage.store.objects import Objects
from medray.tasks.base import NO_LABEL

Make = Callable[[str, list[Sample]], Dataset]
TEXTS = ["CCO", "c1ccccc1", "CC(=O)Cl", "C[C@H](N)C(=O)O", "C%12CCC%12", "BrCl"]


def test_tokens_are_atoms_bonds_and_numbers_of_rings() -> None:
    assert split("C[C@@H](Br)Cl%12") == ["C", "[C@@H]", "(", "Br", ")", "Cl", "%12"]
    assert all("".join(split(text)) == text for text in TEXTS)


def test_a_vocabulary_begins_with_the_boundary_and_refuses_what_it_lacks() -> None:
    known = vocabulary(TEXTS)
    assert known[END] == BOUNDARY
    assert set(known[1:]) == {token for text in TEXTS for token in split(text)}
    codec = Codec(known)
    assert codec.decode(codec.encode("CCl")) == "CCl"
    for text, code in (("CI", "unknown-token"), ("C^", "unknown-token"), ("", "no-text")):
        with pytest.raises(DataError) as refused:
            codec.encode(text)
        assert refused.value.code == code
        assert "CI" not in str(refused.value)
    with pytest.raises(DataError, match="different tokens"):
        vocabulary([chr(at) for at in range(300, 600)])


def test_cases_are_filled_up_at_their_ends(make_dataset: Make) -> None:
    data = make_dataset("d", [Sample(f"s{at}", {"smiles": text}) for at, text in enumerate(TEXTS)])
    cases = NotationCases(data, range(len(TEXTS)), "smiles", vocabulary(TEXTS[:5]))
    assert cases.lengths.tolist() == [4, 9, 8, 12, 7, 0]  # Br was not learnt
    given, following = cases.take(np.array([0, 2]))
    assert given.shape == following.shape == (2, 8)
    assert given[0, 0] == END
    assert (given[0, 1:4] == following[0, :3]).all()
    assert following[0].tolist()[3:] == [END] + [NO_LABEL] * 4
    assert (given[0, 4:] == END).all()
    assert (following[1] != NO_LABEL).all()


def test_texts_that_are_not_there_are_told(make_dataset: Make) -> None:
    data = make_dataset("d", [Sample("a", {"smiles": "C"}), Sample("b", {"smiles": None})])
    with pytest.raises(SpecError) as told:
        texts_of(data, [0], "canonical")
    assert told.value.code == "no-such-column"
    with pytest.raises(DataError) as refused:
        texts_of(data, [0, 1], "smiles")
    assert refused.value.code == "no-text"


def test_batches_hold_like_lengths_and_what_the_order_holds() -> None:
    lengths = np.random.default_rng(0).integers(5, 60, 1000)
    order = Dealt(1000, 8, 3, lengths, WINDOW)
    samples, seeds = order.slice_at(0, 0, 1, 4 * WINDOW)
    plainly, own = Order(1000, 8, 3).slice_at(0, 0, 1, 4 * WINDOW)
    for window in np.split(np.arange(32 * WINDOW), 4):
        assert sorted(samples[window]) == sorted(plainly[window])
    assert dict(zip(seeds, samples, strict=True)) == dict(zip(own, plainly, strict=True))
    spread, plain = (np.ptp(lengths[one.reshape(-1, 8)], axis=1) for one in (samples, plainly))
    assert spread.mean() < 4 < plain.mean()
    drawn = [draw.sample for draw in order.batch_at(40)]
    assert drawn == order.slice_at(40, 0, 1)[0].tolist() == samples[320:328].tolist()
    parts = [order.slice_at(40, rank, 3)[0].tolist() for rank in range(3)]
    assert parts == [drawn[share(8, rank, 3)] for rank in range(3)]


def test_token_by_token_is_as_the_whole_text() -> None:
    torch.manual_seed(0)
    network = NotationLstm(NotationLstm.Options(hidden=16, layers=2, embedding=4), 7, 7).eval()
    tokens = torch.randint(0, 7, (3, 9), dtype=torch.uint8)
    whole, state = network(tokens), None
    assert whole.shape == (3, 7, 9)
    for at in range(9):
        logits, state = network.following(tokens[:, at], state)
        torch.testing.assert_close(logits, whole[:, :, at])


def test_what_is_drawn_has_the_likelihood_that_it_is_told_to_have() -> None:
    torch.manual_seed(1)
    network = NotationLstm(NotationLstm.Options(hidden=8, embedding=4), 5, 5).eval()
    cpu = torch.device("cpu")
    made = draw_tokens(network, 40, 12, 0.9, np.random.default_rng(0), cpu)
    again = draw_tokens(network, 40, 12, 0.9, np.random.default_rng(0), cpu)
    assert made == again
    assert {ended for _, ended, _ in made} == {True, False}
    for tokens, ended, nats in made:
        text = [*tokens, END] if ended else tokens
        given = torch.tensor([[END, *text[:-1]]], dtype=torch.uint8)
        told = network(given).log_softmax(1)[0, text, torch.arange(len(text))].sum()
        assert nats == pytest.approx(-told.item(), rel=1e-4)
        assert len(tokens) <= 13


def test_colder_is_likelier() -> None:
    torch.manual_seed(1)
    network = NotationLstm(NotationLstm.Options(hidden=8, embedding=4), 5, 5).eval()
    cpu = torch.device("cpu")
    means = []
    for temperature in (0.2, 1.0, 5.0):
        made = draw_tokens(network, 300, 12, temperature, np.random.default_rng(0), cpu)
        total = sum(len(tokens) + ended for tokens, ended, _ in made)
        means.append(sum(nats for *_, nats in made) / total)
    assert means == sorted(means)


def test_ngrams_say_nothing_that_was_not_seen() -> None:
    texts = ["CCOCCN", "CCOCCCl", "NCCOCC"]
    drawn = list(Ngrams(texts).draw(200, 20, 0))
    assert set(texts) & set(drawn)
    seen = {tuple(([BOUNDARY] * 4 + split(t) + [BOUNDARY])[at : at + 5])
            for t in texts for at in range(len(split(t)) + 1)}  # fmt: skip
    for text in drawn:
        if text is not None:
            whole = [BOUNDARY] * 4 + split(text) + [BOUNDARY]
            assert {tuple(whole[at : at + 5]) for at in range(len(whole) - 4)} <= seen
    assert drawn == list(Ngrams(texts).draw(200, 20, 0))


def test_likelihoods_are_predicted_and_scored(objects: Objects, make_dataset: Make) -> None:
    texts = [f"{'C' * (2 + at % 5)}{'ON'[at % 2]}" for at in range(60)]
    rows: list[dict[str, Any]] = [
        {"canonical": text, "split": "val" if at % 6 == 0 else "train"}
        for at, text in enumerate(texts)
    ]
    rows.append({"canonical": "CCBr", "split": "val"})
    make_dataset("chains", [Sample(f"s{at}", row) for at, row in enumerate(rows)])
    steps: list[dict[str, Any]] = [
        {
            "kind": "train",
            "data": "chains",
            "task": {"name": "language"},
            "model": {"name": "notation-lstm", "hidden": 16, "embedding": 4},
            "train": {"epochs": 4, "optimiser": {"lr": 0.02}},
            "output": "writer",
        },
        {
            "kind": "predict",
            "model": "writer",
            "data": "chains",
            "select": {"split": "val"},
            "batch": 4,
            "policy": {"error_budget": 0.2},
            "output": "likely",
        },
        {"kind": "evaluate", "predictions": "likely", "data": "chains", "output": "scores"},
    ]
    done = run(steps, storage=objects, cluster="inline")
    trained, predicted, scored = done.steps
    assert trained.metrics["val_unknown"] == 1
    assert predicted.reasons == {"unknown-token": 1}
    assert scored.metrics["nats"] == pytest.approx(trained.metrics["val_nats"], rel=1e-4)
    assert scored.metrics["perplexity"] == pytest.approx(np.exp(scored.metrics["nats"]), rel=1e-4)
    counts = open_dataset(objects, "scores").attributes["summary"]["counts"]
    assert counts == {"no-prediction": 1, "scored": 10}
