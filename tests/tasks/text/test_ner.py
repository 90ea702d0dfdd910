"""Entities: legal paths, strict scores, mistakes by offsets."""

from typing import Any

import numpy as np
import pytest
import torch

from medray.models.text.base import chain
from medray.storage.shards.samples import Sample
from medray.storage.shards.writer import table_of
from medray.tasks.metrics.bootstrap import Bootstrap
from medray.tasks.metrics.entities import strict_entities
from medray.tasks.section import ScoredCases
from medray.tasks.text.ner import Ner

TASK = Ner(Ner.Options(types=("A", "B")), (2.0,))
TAGS = {tag: at for at, tag in enumerate(TASK.classes)}


def numbers(tags: str) -> np.ndarray:
    return np.array([TAGS[tag] for tag in tags.split()])


# What seqeval 1.2.2 gives with mode="strict", scheme=IOB2: get_entities of each line.
@pytest.mark.parametrize(
    ("tags", "wanted"),
    [
        ("O B-A I-A O B-B", [(1, 3, 0), (4, 5, 1)]),
        ("I-A I-A O B-A", [(3, 4, 0)]),
        ("B-A I-B I-B O", [(0, 1, 0)]),
        ("B-A B-A I-A", [(0, 1, 0), (1, 3, 0)]),
        ("O I-B O", []),
        ("B-B I-B", [(0, 2, 1)]),
    ],
)
def test_entities_are_those_of_seqeval_strict(tags: str, wanted: list[Any]) -> None:
    assert strict_entities(numbers(tags)) == wanted


def test_no_inside_begins_an_entity_whatever_the_network_says() -> None:
    torch.manual_seed(0)
    logits = chain(torch.randn(20, 5, 9) * 5, torch.randn(5, 5), torch.full((20,), 9))
    paths = TASK.probabilities(logits)[:, 0].long().tolist()
    seen = set()
    for path in paths:
        for before, tag in zip([0, *path], path, strict=False):
            if TASK.classes[tag].startswith("I-"):
                kind = TASK.classes[tag][2:]
                assert TASK.classes[before] in (f"B-{kind}", f"I-{kind}")
                seen.add(tag)
    assert seen


def test_a_loss_is_that_of_the_true_path_and_of_no_neighbour() -> None:
    torch.manual_seed(1)
    emissions, transitions = torch.randn(2, 5, 6), torch.randn(5, 5)
    logits = chain(emissions, transitions, torch.tensor([6, 3]))
    target = torch.full((2, 6), 255, dtype=torch.uint8)
    target[0] = torch.tensor(numbers("O B-A I-A O B-B I-B"))
    target[1, :3] = torch.tensor(numbers("B-B O O"))
    both = TASK.loss(logits, target)
    alone = TASK.loss(chain(emissions[1:, :, :3], transitions, torch.tensor([3])), target[1:, :3])
    torch.testing.assert_close(both[1:], alone)
    assert (both > 0).all()
    sure = chain(
        20.0 * torch.eye(5)[numbers("B-B O O")].T[None], torch.zeros(5, 5), torch.tensor([3])
    )
    assert float(TASK.loss(sure, target[1:, :3])) < 1e-4
    empty = torch.full((1, 1), 255, dtype=torch.uint8)
    assert float(TASK.loss(chain(emissions[:1, :, :1], transitions, torch.tensor([0])), empty)) < 20


def spans(*told: tuple[int, int, str]) -> list[dict[str, Any]]:
    return [{"begin": a, "end": b, "type": kind, "parts": []} for a, b, kind in told]


def scored() -> list[dict[str, Any]]:
    truth = Sample(
        "a", {"text": "CANARY left lung", "spans": spans((0, 6, "A"), (7, 16, "B"), (1, 2, "C"))}
    )
    found = Sample("a", {"spans": spans((0, 6, "A"), (12, 16, "B"), (7, 11, "A"))})
    (row,) = TASK.score(truth, found)
    other = Sample("b", {"text": "x", "spans": spans((0, 1, "B"))})
    (lost,) = TASK.score(other, None)
    return [{"sample_id": "a", "case": "a", **row}, {"sample_id": "b", "case": "b", **lost}]


def test_scores_are_strict_and_a_document_without_answer_is_all_missed() -> None:
    rows = scored()
    assert [rows[0][name] for name in ("true", "called", "right")] == [2, 3, 1]
    assert rows[0]["right_by"] == [1, 0]
    assert rows[1]["status"] == "no-prediction"
    summary = TASK.conclude(table_of(rows), Bootstrap(0))
    # 1 of 3 called is right, 1 of 3 true is found.
    assert summary["metrics"]["precision"]["value"] == pytest.approx(1 / 3)
    assert summary["metrics"]["recall"]["value"] == pytest.approx(1 / 3)
    assert summary["metrics"]["f1"]["value"] == pytest.approx(1 / 3)
    assert summary["classes"]["A"]["precision"]["value"] == 0.5
    assert summary["counts"] == {"no-prediction": 1, "scored": 1}


def test_mistakes_have_offsets_and_quote_only_where_the_job_says() -> None:
    first, *_ = scored()
    told = [(one["mistake"], one["begin"], one["called_begin"]) for one in first["mistakes"]]
    assert told == [("other bounds", 7, 7), ("spurious", None, 12)]
    assert all(one["quote"] is None for one in first["mistakes"])
    quoting = Ner(Ner.Options(types=("A", "B"), show_text=True))
    truth = Sample("a", {"text": "CANARY left lung", "spans": spans((0, 6, "A"))})
    (row,) = quoting.score(truth, Sample("a", {"spans": []}))
    assert row["mistakes"][0]["quote"] == "CANARY"


def test_a_page_says_where_and_not_what() -> None:
    rows = scored()
    summary = TASK.conclude(table_of(rows), Bootstrap(0))
    section = TASK.section(ScoredCases("x", summary, rows))
    assert "CANARY" not in repr(section)
    (kinds,) = [table for table in section.tables if table.title == "Mistakes by kind"]
    assert {row["mistake"]: row["count"] for row in kinds.rows} == {
        "missed": 1, "other bounds": 1, "spurious": 1,
    }  # fmt: skip
    assert "quote" not in section.listings[0].columns
