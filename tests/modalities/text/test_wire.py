"""Texts of requests become the samples that ingest would have made."""

import json
from typing import Any

import pytest

from medray.errors import DataError
from medray.modalities.media import JSON
from medray.modalities.text.wire import TextWire
from medray.modalities.wire import Limits

LIMITS = Limits(decoded_bytes=2**20)
SPAN = {"begin": 0, "end": 7, "type": "DRUG"}


def read(body: Any, answers: str = "spans") -> Any:
    wire = TextWire({"answers": answers, "column": "text"})
    return wire.read(json.dumps(body).encode(), JSON, LIMITS)


def test_one_text_or_many() -> None:
    asked = read({"text": "aspirin", "sample_id": "a"})
    assert (asked.many, asked.samples[0].id, asked.samples[0].row) == (
        False,
        "a",
        {"text": "aspirin"},
    )
    assert [one.id for one in read([{"text": "a"}, {"text": "b"}]).samples] == ["0", "1"]


def test_spans_come_where_the_model_takes_them() -> None:
    asked = read({"text": "aspirin 1", "spans": [SPAN]}, "links")
    assert asked.samples[0].row["spans"] == [{**SPAN, "parts": []}]
    wire = TextWire({"answers": "links", "column": "text"})
    assert wire.takes[JSON]["oneOf"][0]["required"] == ["text", "spans"]
    example = wire.takes[JSON]["oneOf"][0]["example"]
    text = example["text"]
    assert [text[one["begin"] : one["end"]] for one in example["spans"]] == ["aspirin", "warfarin"]


@pytest.mark.parametrize(
    ("body", "answers", "code"),
    [
        ({"text": 3}, "spans", "bad-json"),
        ({"text": "a", "spans": []}, "spans", "bad-json"),
        ({}, "spans", "bad-json"),
        (
            [{"text": "a", "sample_id": "x"}, {"text": "b", "sample_id": "x"}],
            "spans",
            "repeated-id",
        ),
        ({"text": "a", "spans": [SPAN]}, "links", "span-outside"),
        ({"text": "a", "spans": [3]}, "links", "bad-json"),
        ({"text": "a", "spans": [{"begin": 0}]}, "links", "bad-spans"),
        ({"text": "a", "spans": {}}, "links", "bad-json"),
        ({"text": ""}, "summary", "no-text"),
        ([{"text": "a"}, {"text": " \u00a0\n"}], "spans", "no-text"),
        ({"text": "a\ud800"}, "spans", "not-utf8"),
        ({"text": "aspirin", "spans": [{**SPAN, "begin": 0.5}]}, "links", "bad-json"),
        ({"text": "aspirin", "spans": [{**SPAN, "begin": True}]}, "links", "bad-json"),
        ({"text": "aspirin", "spans": [{**SPAN, "parts": [0, 3, 7]}]}, "links", "parts-disorder"),
        ({"text": "aspirin", "spans": [{**SPAN, "parts": [0, 3]}]}, "links", "parts-disorder"),
        ({"text": "aspirin", "spans": [{**SPAN, "parts": ["0", "7"]}]}, "links", "bad-json"),
    ],
)
def test_what_is_no_text_is_refused(body: Any, answers: str, code: str) -> None:
    with pytest.raises(DataError, match=code):
        read(body, answers)
