"""What a model can be asked is its modality's to say, and what it will answer too."""

from typing import Any

import pytest
from pydantic import ValidationError

from medray.errors import SpecError
from medray.modalities import MODALITIES
from medray.models import MODELS
from medray.tasks import build_task

WHOLE = {"name": "classification", "classes": ["a", "b"]}
MASK = {"name": "segmentation", "classes": ["none", "a"]}
BASES = {"name": "tagging", "classes": ["no", "yes"]}


def outputs(model: str, task: dict[str, Any], **options: Any):
    network = MODELS.get(model)
    modality = MODALITIES.get(network.takes)()
    return modality.outputs(network, build_task(task), modality.PredictOptions(**options))


@pytest.mark.parametrize(
    ("model", "task", "options", "arrays"),
    [
        ("unet", MASK, {}, {"label"}),
        ("unet", MASK, {"outputs": "probabilities", "tta": True}, {"probability"}),
        ("resnet", WHOLE, {"outputs": "probabilities"}, set()),
        ("lstm", BASES, {}, {"probability"}),
        ("lstm", WHOLE, {}, set()),
        ("mlp", WHOLE, {}, set()),
    ],
)
def test_answers_are_known_before_and_can_be_scored(
    model: str, task: dict[str, Any], options: dict[str, Any], arrays: set[str]
) -> None:
    made = outputs(model, task, **options)
    assert made.arrays == arrays
    assert made.scorable
    assert ("predicted" in made.columns) == (not arrays)


def test_attributions_are_no_answers() -> None:
    made = outputs("attention_lstm", WHOLE, outputs="attention")
    assert (made.arrays, made.scorable) == ({"track"}, False)
    for model, task, how, code in (
        ("seq_cnn", WHOLE, "attention", "no-attention"),
        ("lstm", BASES, "mutagenesis", "no-attributions"),
    ):
        with pytest.raises(SpecError) as caught:
            outputs(model, task, outputs=how)
        assert caught.value.code == code


@pytest.mark.parametrize(
    ("model", "option"),
    [("mlp", {"tta": True}), ("lstm", {"overlap": 0.5}), ("unet", {"outputs": "attention"})],
)
def test_no_modality_takes_the_options_of_another(model: str, option: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        outputs(model, WHOLE, **option)


def test_what_has_no_mean_is_not_averaged() -> None:
    images = MODALITIES.get("image")()
    assert images.averages("place")
    assert images.averages("sample")
    assert not MODALITIES.get("text")().averages("spans")
