"""N-grams of texts as a whole: which there are, how often they come, and what each weighs."""

from typing import Any

import numpy as np
import pytest

from medray.errors import SpecError
from medray.jobs.run import run
from medray.modalities.loaded import load_trained
from medray.modalities.text.grams import families, rarity, weighted
from medray.modalities.text.tokens import hashed
from medray.storage.store.objects import Objects
from tests.documents import documents
from tests.modalities.text.test_text import CLASSES, LINKS, TASKS, Make, job


def told(*names: str) -> list[int]:
    return sorted(hashed(names).tolist())


def test_n_grams_of_words_of_letters_and_of_the_first_words() -> None:
    words, letters, opening = families("Pain, 7 pain", opening=2)
    assert words[0].tolist() == told("1 pain", "1 ,", "1 0", "2 pain ,", "2 , 0", "2 0 pain")
    assert dict(zip(*words, strict=True))[hashed(["1 pain"])[0]] == 2
    assert opening[0].tolist() == told("o1 pain", "o1 ,", "o2 pain ,")
    assert opening[1].tolist() == [1, 1, 1]
    assert set(told("c p", "cpai", "cain ", "c 0 ")) <= set(letters[0].tolist())
    without = families("Pain, 7 pain")
    assert len(without) == 2
    assert all(np.array_equal(*pair) for one in zip(without, (words, letters), strict=True)
               for pair in zip(*one, strict=True))  # fmt: skip


def test_weights_are_tf_idf_of_length_1_in_each_family() -> None:
    texts = [families(text, 1) for text in ("a a b", "a c", "b")]
    rare = rarity(texts)
    idf = {1: 1 + np.log(4 / 2), 2: 1 + np.log(4 / 3)}  # of 3 texts, by how many have it
    assert rare[hashed(["1 a"])[0]] == pytest.approx(idf[2], rel=1e-6)
    assert rare[hashed(["1 c"])[0]] == pytest.approx(idf[1], rel=1e-6)
    hashes, weights = weighted(texts[0], rare)
    parts = np.split(weights, np.cumsum([len(one) for one, _ in texts[0]])[:-1])
    assert [float((one**2).sum()) for one in parts] == pytest.approx([1, 1, 1])
    own = {"1 a": (1 + np.log(2)) * idf[2], "1 b": idf[2], "2 a a": idf[1], "2 a b": idf[1]}
    length = np.sqrt(sum(one**2 for one in own.values()))
    found = dict(zip(hashes[:4].tolist(), weights[:4].tolist(), strict=True))
    for name, value in own.items():
        assert found[int(hashed([name])[0])] == pytest.approx(value / length, rel=1e-5)
    assert parts[2].tolist() == [1]  # "a", which one text begins with and another


def test_a_network_reads_the_first_words_as_its_package_says(
    objects: Objects, make_dataset: Make
) -> None:
    make_dataset("texts", documents(120))
    steps = job(*TASKS["ngrams"][:2], optimiser={"name": "sgd", "lr": 1, "momentum": 0.9})
    steps[0] |= {"plan": {"opening": 3}}
    *_, scored = run(steps, storage=objects, cluster="inline").steps
    assert scored.metrics["auroc"] >= 0.95
    assert load_trained(objects, "net").plan.opening == 3  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("task", "model"), [(CLASSES, "text-cnn"), (LINKS, "ngram-linear"), (LINKS, "relation-cnn")]
)
def test_a_network_without_n_grams_of_texts_has_no_opening(
    objects: Objects, make_dataset: Make, task: dict[str, Any], model: str
) -> None:
    make_dataset("texts", documents(20))
    steps = job(task, {"name": model})[:1]
    steps[0] |= {"plan": {"opening": 3}}
    with pytest.raises(SpecError, match="task-mismatch"):
        run(steps, storage=objects, cluster="inline")
