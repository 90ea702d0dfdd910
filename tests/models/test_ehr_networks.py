"""Networks over events: padding says nothing, times count, and nobody without events is lost."""

from typing import Any

import pytest
import torch
from pydantic import ValidationError

from medray.models import MODELS, model_options
from medray.models.base import Network

NAN = float("nan")
MODELS_OF = [
    {"name": "ehr-rnn", "hidden": 8},
    {"name": "ehr-rnn", "hidden": 8, "gru": True, "layers": 2},
    {"name": "ehr-transformer", "heads": 2},
]


def built(model: dict[str, Any]) -> Network:
    torch.manual_seed(0)
    options = model_options({**model, "width": 8}, vocabulary=12)
    return MODELS.get(model["name"]).build(options, 1, 2, None).eval()


def batch(*rows: list[tuple[int, float]], pad: int = 0) -> dict[str, torch.Tensor]:
    longest = max(len(row) for row in rows) + pad
    codes = torch.zeros(len(rows), longest, dtype=torch.int64)
    hours = torch.zeros(len(rows), longest)
    for at, row in enumerate(rows):
        for place, (code, hour) in enumerate(row):
            codes[at, place], hours[at, place] = code, hour
    return {"codes": codes, "hours": hours}


HERS = [(3, NAN), (4, 40.0), (5, 10.0), (4, 2.0)]


@pytest.mark.parametrize("model", MODELS_OF)
def test_padding_and_neighbours_say_nothing(model: dict[str, Any]) -> None:
    network = built(model)
    assert network.takes == "ehr"
    alone = network(batch(HERS))
    assert alone.shape == (1, 2)
    among = network(batch(HERS, [(7, 1.0)] * 9, [(8, 3.0)], pad=5))
    torch.testing.assert_close(among[:1], alone, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("model", MODELS_OF)
def test_codes_and_times_count(model: dict[str, Any]) -> None:
    network = built(model)
    one = network(batch(HERS))
    assert not torch.allclose(network(batch([*HERS[:3], (6, 2.0)])), one)
    assert not torch.allclose(network(batch([*HERS[:3], (4, 9.0)])), one)


@pytest.mark.parametrize("model", MODELS_OF)
def test_who_has_no_event_is_answered(model: dict[str, Any]) -> None:
    network = built(model)
    answers = network(batch([], HERS, pad=1))
    assert torch.isfinite(answers).all()
    torch.testing.assert_close(answers[1:], network(batch(HERS)), rtol=1e-5, atol=1e-6)
    answers.sum().backward()
    assert all(
        torch.isfinite(one.grad).all() for one in network.parameters() if one.grad is not None
    )


def test_heads_divide_the_width() -> None:
    with pytest.raises(ValidationError, match="multiple of the heads"):
        model_options({"name": "ehr-transformer", "width": 10, "heads": 4})
