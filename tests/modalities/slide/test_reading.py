"""Attention over tiles, streamed and at once, against the formula; batches and their changes."""

from typing import Any

import numpy as np
import pytest
import torch

from medray.data.order import Order
from medray.errors import DataError, SpecError
from medray.formats.slide.arrays import sound
from medray.modalities.slide.cases import SlideLoader, along, changed, standardised, taken
from medray.modalities.slide.plan import SlideAugment, SlidePlan
from medray.modalities.slide.reading import read_slide
from medray.models import MODELS, model_options
from medray.models.slide.attention_pooling import AttentionPooling

TRUNK = {"name": "cnn", "features": [4, 8], "convs": 1}
PLAN = SlidePlan(
    answers="sample", classes=("a", "b"), batch_size=2, frequencies=(0.5, 0.5), samples=4,
    tile=8, mpp=0.5, mean=(150, 100, 120), std=(20, 30, 40), most_tiles=3,
)  # fmt: skip
CPU = torch.device("cpu")


def network(**more: Any) -> AttentionPooling:
    torch.manual_seed(0)
    model = {"name": "attention-pooling", "trunk": TRUNK, "width": 6, "attention": 5} | more
    kind = MODELS.get(model["name"])
    made = kind.build(model_options(model), 3, 2, (8, 8)).eval()
    assert isinstance(made, AttentionPooling)
    return made


def tiles(many: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (many, 3, 8, 8)).astype(np.uint8)


def test_attention_is_that_of_the_formula() -> None:
    made = network()
    stored = tiles(5)
    with torch.inference_mode():
        embedded = made.embed(torch.from_numpy(standardised(stored, PLAN)))
    h = embedded.numpy().astype(float)
    weights = {name: one.detach().numpy().astype(float) for name, one in made.named_parameters()}
    value = np.tanh(h @ weights["value.weight"].T + weights["value.bias"])
    gate = 1 / (1 + np.exp(-(h @ weights["gate.weight"].T + weights["gate.bias"])))
    score = (value * gate) @ weights["score.weight"][0]
    attention = np.exp(score) / np.exp(score).sum()
    logits = attention @ h @ weights["head.1.weight"].T + weights["head.1.bias"]
    reading = read_slide(made, stored, np.arange(5), 2, PLAN, CPU)
    np.testing.assert_allclose(reading.attention, attention, rtol=1e-5)
    np.testing.assert_allclose(reading.logits[0], logits, rtol=1e-4, atol=1e-6)
    each = h @ weights["head.1.weight"].T + weights["head.1.bias"]
    np.testing.assert_allclose(reading.tiles, each, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("size", [1, 3, 7, 100])
def test_a_slide_in_pieces_is_the_slide_at_once(size: int) -> None:
    made, stored = network(), tiles(7)
    made.score.weight.data *= 200  # sharp: sums that overflow without the running peak
    others = tiles(4, seed=1)
    batch = torch.from_numpy(standardised(np.concatenate([stored, others]), PLAN))
    with torch.inference_mode():
        whole = made({"tiles": batch, "counts": torch.tensor([7, 4])})
    reading = read_slide(made, stored, np.arange(7), size, PLAN, CPU)
    torch.testing.assert_close(reading.logits, whole[:1], rtol=1e-5, atol=1e-5)
    assert reading.attention.sum() == pytest.approx(1, abs=1e-5)


def test_without_attention_it_is_the_mean() -> None:
    made, stored = network(attention=0), tiles(4)
    reading = read_slide(made, stored, np.arange(4), 3, PLAN, CPU)
    np.testing.assert_allclose(reading.attention, 0.25, rtol=1e-6)
    torch.testing.assert_close(reading.logits[0], reading.tiles.mean(0), rtol=1e-4, atol=1e-6)


def test_an_answer_that_is_not_finite_is_refused() -> None:
    made = network()
    made.head[1].weight.data[:] = torch.nan
    with pytest.raises(DataError, match="nonfinite-output"):
        read_slide(made, tiles(2), np.arange(2), 1, PLAN, CPU)


def test_a_trunk_that_makes_masks_is_refused() -> None:
    with pytest.raises(SpecError, match="wrong-trunk"):
        network(trunk={"name": "unet", "features": [4, 8]})


def test_tiles_that_could_not_be_read_are_left_out() -> None:
    numbers = sound([0, 3], 6)
    assert numbers.tolist() == [1, 2, 4, 5]
    stored = tiles(6)
    parts = list(along(stored, numbers, 3))
    assert [some.tolist() for some, _ in parts] == [[1, 2, 4], [5]]
    np.testing.assert_array_equal(np.concatenate([one for _, one in parts]), stored[numbers])


class Held:
    """Four slides in memory."""

    def __init__(self) -> None:
        self.bags = [tiles(many, seed=many) for many in (2, 9, 5, 7)]
        self.rows: list[dict[str, Any]] = [{} for _ in self.bags]
        self.asked: list[np.ndarray] = []

    def __len__(self) -> int:
        return len(self.bags)

    def sound(self, case: int) -> np.ndarray:
        return np.arange(len(self.bags[case]))

    def tiles(self, case: int) -> np.ndarray:
        return self.bags[case]


def loader(share: tuple[int, int], parts: int = 1, augment: SlideAugment | None = None) -> Any:
    targets = torch.tensor([0, 1, 0, 1])
    order = Order(4, 4, seed=3)
    made = SlideLoader(Held(), order, targets, share=share, parts=parts)  # type: ignore[arg-type]
    made.plan, made.augment = PLAN, augment
    return made


def test_a_step_holds_the_same_tiles_on_any_number_of_ranks() -> None:
    for augment in (None, SlideAugment()):
        whole = loader((0, 1), augment=augment).batch(5).parts[0]
        assert sorted(whole.inputs["counts"].tolist()) == [2, 3, 3, 3]
        halves = [loader((rank, 2), augment=augment).batch(5).parts[0] for rank in (0, 1)]
        both = torch.cat([half.inputs["tiles"] for half in halves])
        torch.testing.assert_close(both, whole.inputs["tiles"], rtol=0, atol=0)
        again = loader((0, 1), parts=4, augment=augment).batch(5).parts
        assert [len(part.inputs["counts"]) for part in again] == [1, 1, 1, 1]
        joined = torch.cat([part.inputs["tiles"] for part in again])
        torch.testing.assert_close(joined, whole.inputs["tiles"], rtol=0, atol=0)


def test_other_steps_draw_other_tiles() -> None:
    one, other = (loader((0, 1)).batch(step).parts[0] for step in (0, 1))
    assert not torch.equal(one.inputs["tiles"], other.inputs["tiles"])


def test_tiles_are_taken_by_number() -> None:
    stored = tiles(9)
    numbers = np.array([0, 1, 4, 7, 8])
    np.testing.assert_array_equal(taken(stored, numbers), stored[numbers])


def test_a_factor_of_a_colour_is_one_of_its_raw_values() -> None:
    stored = tiles(3)
    augment = SlideAugment(turn=False, colour=0.3)
    chance = np.random.Generator(np.random.Philox(key=1))
    made = changed(standardised(stored, PLAN), augment, PLAN, chance)
    raw = made * np.array(PLAN.std)[:, None, None] + np.array(PLAN.mean)[:, None, None]
    factor = 1 + 0.3 * np.random.Generator(np.random.Philox(key=1)).uniform(-1, 1, 3)
    np.testing.assert_allclose(raw, stored * factor[:, None, None], atol=1e-3)


def test_turned_tiles_are_the_eight_of_a_square() -> None:
    stored = standardised(np.repeat(tiles(1), 200, 0), PLAN)
    one = stored[0].copy()
    made = changed(stored, SlideAugment(colour=0), PLAN, np.random.Generator(np.random.Philox(7)))
    eight = [np.rot90(face, turn, (1, 2)) for face in (one, one[:, :, ::-1]) for turn in range(4)]
    seen = {next(n for n, tile in enumerate(eight) if np.array_equal(tile, got)) for got in made}
    assert seen == set(range(8))
