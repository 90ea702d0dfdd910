"""Networks that begin with another's weights, and parts that learn later or slower."""

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from medray.engine.training.checkpoint import Checkpoints
from medray.engine.training.initial import Beginning, Match, initialise, match
from medray.engine.training.loop import fit, outcome
from medray.engine.training.optimiser import build_optimiser
from medray.engine.training.package import save_trained
from medray.engine.training.ranks import World
from medray.engine.training.setup import TrainSetup
from medray.errors import SpecError
from medray.modalities.image.options import ImagePlanOptions
from medray.modalities.image.plan import make_plan
from medray.modalities.image.survey import fingerprint
from medray.models import MODELS, model_options
from medray.models.base import Network
from medray.spec.training import Frozen, InitialWeights, OptimiserSettings, TrainSettings
from medray.storage.catalog.datasets import Dataset
from medray.storage.catalog.models import save_model
from medray.storage.store.objects import Objects
from medray.tasks import build_task
from tests.engine.training.several import launch

TASK = {"name": "segmentation", "classes": ["background", "a", "b"]}
MODEL = {"name": "unet", "features": [4, 8], "convs": 1, "norm": "batch"}
PATCH = ImagePlanOptions(patch=(8, 8, 8))
LATER = (Frozen(parts=("encoder",), until=1),)
THERE = {"a.0.w": (4, 1, 3), "a.1.w": (8, 4, 3), "a.10.w": (2, 2, 2), "head.w": (2, 8)}
HERE = {"b.0.w": (4, 1, 3), "b.1.w": (8, 4, 3), "a.10.w": (2, 2, 2), "head.w": (3, 8)}


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def setup(balls: Dataset) -> TrainSetup:
    task = build_task(TASK)
    look = fingerprint(balls, balls.select({"split": "train"}), task)
    plan = make_plan(look, task, given=PATCH)
    settings = TrainSettings(
        epochs=2,
        steps_per_epoch=3,
        batch_size=5,
        optimiser=OptimiserSettings(lr=1e-2),
        freeze=LATER,
        validate_every=2,
    )
    return TrainSetup(balls.objects, balls.reference, TASK, MODEL, plan, settings, "runs/a")


def at(setup: TrainSetup, step: int, file: str = "model") -> dict[str, torch.Tensor]:
    checkpoints = Checkpoints(setup.objects, f"{setup.run}/checkpoints")
    return checkpoints.read(dict(checkpoints.committed())[step]).tensors[file]


def moved(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> set[str]:
    return {name.partition(".")[0] for name in one if not torch.equal(one[name], other[name])}


def matched(there: dict, here: dict, **chosen: Any) -> Match:
    return match(InitialWeights(model="net", **chosen), there, here)


def test_what_goes_where_by_name_by_map_and_in_part() -> None:
    assert matched(THERE, HERE) == Match({"a.10.w": "a.10.w"}, ["b.0.w", "b.1.w", "head.w"])
    both = matched(THERE, HERE, map={"a.0": "b.0", "a.1": "b.1"})
    assert both.taken == {"b.0.w": "a.0.w", "b.1.w": "a.1.w", "a.10.w": "a.10.w"}
    assert both.fresh == ["head.w"]
    only = matched(THERE, HERE, map={"a.0": "b.0", "a.1": "b.1"}, only=["b.1"])
    assert only == Match({"b.1.w": "a.1.w"}, ["a.10.w", "b.0.w", "head.w"])
    # The longest beginning counts.
    nested = {"c.x.w": (1,), "c.y.w": (1,)}
    longest = matched(nested, {"d.x.w": (1,), "e.w": (1,)}, map={"c": "d", "c.y": "e"})
    assert longest.taken == {"d.x.w": "c.x.w", "e.w": "c.y.w"}


@pytest.mark.parametrize(
    ("chosen", "code", "words"),
    [
        ({"map": {"z": "b"}}, "unknown-layer", "'z'"),
        ({"map": {"a.0": "z"}}, "unknown-layer", "'z'"),
        ({"only": ["b.2"]}, "unknown-layer", "'b.2'"),
        ({"only": ["b.1"]}, "wrong-model", "none"),
        ({"map": {"a.0": "b.1"}}, "layers-differ", "[4, 1, 3], 'b.1.w' here is [8, 4, 3]"),
        ({"map": {"head": "b"}}, "layers-differ", "'b.w' here is not there"),
        ({"map": {"head": "head"}}, "layers-differ", "[2, 8], 'head.w' here is [3, 8]"),
    ],
)
def test_maps_that_do_not_fit_are_refused(chosen: dict, code: str, words: str) -> None:
    with pytest.raises(SpecError) as caught:
        matched(THERE, HERE, **chosen)
    assert caught.value.code == code
    assert words in caught.value.message


def test_two_parts_never_become_one() -> None:
    there = {"a.w": (1,), "b.w": (1,)}
    with pytest.raises(SpecError, match="layers-meet"):
        matched(there, {"b.w": (1,)}, map={"a": "b"})
    assert matched(there, {"b.w": (1,), "c.w": (1,)}, map={"a": "b", "b": "c"}).taken == {
        "b.w": "a.w",
        "c.w": "b.w",
    }


def begin(fresh: Network, objects: Objects, **chosen: Any) -> None:
    """With the model `trunk`."""
    weights = InitialWeights(model="trunk", **chosen)
    initialise(fresh, Beginning(weights, objects, Checkpoints(objects, "none"), {}))


def network(name: str, channels: int = 1, **options: Any) -> Network:
    chosen = model_options({"name": name, "dims": 2, **options})
    return MODELS.get(name).build(chosen, channels, 2, (32, 32))


@pytest.mark.parametrize(
    ("trunk", "other", "layers"),
    [
        # Residual levels of one block are those of the detector.
        (
            {"features": [4, 8, 16], "residual": True, "norm": "batch", "preset": "resenc",
             "blocks": [1, 1, 1]},
            {"name": "centernet", "features": [4, 8, 16], "width": 8},
            {"encoder.0.0": "stem", "encoder.1.0.body": "encoder.0.0.body",
             "encoder.2.0.body": "encoder.1.0.body"},
        ),
        # Convolutions and max pools of 2015 are those of the plain classifier.
        (
            {"features": [4, 8], "preset": "ronneberger", "dropout": 0.0},
            {"name": "cnn", "features": [4, 8]},
            {"encoder.0.0": "body.0", "encoder.0.1": "body.1", "encoder.1.1.0": "body.3",
             "encoder.1.1.1": "body.4"},
        ),
    ],
)  # fmt: skip
def test_a_trunk_moves_into_detectors_and_classifiers(
    trunk: dict, other: dict, layers: dict[str, str], objects: Objects
) -> None:
    torch.manual_seed(0)
    unet, whole = network("unet", **trunk), network(**other)
    with torch.no_grad():
        for value in unet.state_dict().values():
            value.fill_(0.5)
    saved(objects, unet)
    begin(whole, objects, map=layers)
    state = whole.state_dict()
    full = {name for name, value in state.items() if (value.float() == 0.5).all()}
    count = sum(name.startswith(tuple(f"{part}." for part in layers)) for name in unet.state_dict())
    wanted = {name for name in state if name.startswith(tuple(f"{p}." for p in layers.values()))}
    counters = {name for name in wanted if name.endswith("num_batches_tracked")}
    assert full == wanted - counters
    assert len(wanted) == count


def saved(objects: Objects, network: Network) -> None:
    from safetensors.torch import save

    save_model(
        objects,
        "trunk",
        weights=save({name: value.contiguous() for name, value in network.state_dict().items()}),
        config={},
        metrics={},
        parents=[],
        spec="",
        card="",
    )


def test_other_channels_stay_fresh_and_are_told(
    objects: Objects, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "medray")
    torch.manual_seed(0)
    saved(objects, network("unet", features=[4, 8]))
    colour = network("unet", 3, features=[4, 8])
    before = {name: value.clone() for name, value in colour.state_dict().items()}
    begin(colour, objects)
    same = {n for n, value in colour.state_dict().items() if torch.equal(value, before[n])}
    assert "encoder.0.0.0.weight" in same
    assert "encoder.1.0.0.weight" not in same
    (told,) = [one for one in caplog.records if one.getMessage() == "initialised"]
    assert "encoder.0.0.0" in str(vars(told))


def test_parts_thaw_on_time_and_their_statistics_with_them(setup: TrainSetup) -> None:
    fit(setup, World())
    begun = begun_of(setup)
    half, whole = at(setup, 3), at(setup, 6)
    assert moved(begun, half) == {"ups", "decoder", "heads"}
    assert moved(half, whole) == {"encoder", "ups", "decoder", "heads"}
    # Its moments begin where it begins to learn.
    steps = at(setup, 6, "optimiser")
    counted = {int(value) for name, value in steps.items() if name.endswith("/step")}
    assert counted == {3, 6}
    assert not any(name.startswith("encoder") for name in at(setup, 3, "optimiser"))


def begun_of(setup: TrainSetup) -> dict[str, torch.Tensor]:
    from medray.engine.training.setup import assemble

    return assemble(setup, World()).objective.networks["model"].state_dict()


def test_a_thaw_resumes_bit_for_bit(setup: TrainSetup) -> None:
    whole = [row["loss"] for row in fit(setup, World()).rows]
    cut = replace(
        setup, run="runs/cut", settings=setup.settings.model_copy(update={"checkpoint_every": 2})
    )
    for last in (2, 4):

        class Cut(World):
            def total(self, tensor: torch.Tensor, last: int = last) -> torch.Tensor:
                done = Checkpoints(cut.objects, "runs/cut/checkpoints").committed()
                if any(step == last for step, _ in done):
                    raise KeyboardInterrupt
                return super().total(tensor)

        with pytest.raises(KeyboardInterrupt):
            fit(cut, Cut())
    assert [row["loss"] for row in fit(cut, World()).rows] == whole
    for file in ("model", "optimiser"):
        one, two = at(cut, 6, file), at(setup, 6, file)
        assert one.keys() == two.keys()
        assert all(torch.equal(one[name], two[name]) for name in one)


def test_two_ranks_thaw_as_one(setup: TrainSetup, tmp_path: Path) -> None:
    model = {**MODEL, "norm": "instance"}  # each rank's batch norms see other samples
    setup = replace(setup, model=model)
    alone = [row["loss"] for row in fit(setup, World()).rows]
    both = replace(setup, run="runs/both")
    assert launch(both, size=2, folder=tmp_path) == [0, 0]
    assert [row["loss"] for row in outcome(both).rows] == pytest.approx(alone, rel=1e-3)
    one, two = at(both, 6), at(setup, 6)
    assert all(torch.allclose(one[name], two[name], rtol=1e-3, atol=1e-4) for name in one)
    assert moved(begun_of(setup), at(both, 3)) == {"ups", "decoder", "heads"}


@pytest.mark.drill
def test_sharded_parts_thaw_too(setup: TrainSetup, tmp_path: Path) -> None:
    setup = replace(setup, model={**MODEL, "norm": "instance"})
    alone = [row["loss"] for row in fit(setup, World()).rows]
    fsdp = setup.settings.model_copy(update={"strategy": "fsdp"})
    sharded = replace(setup, run="runs/fsdp", settings=fsdp)
    assert launch(sharded, size=2, folder=tmp_path) == [0, 0]
    assert [row["loss"] for row in outcome(sharded).rows] == pytest.approx(alone, rel=1e-3)
    assert moved(begun_of(setup), at(sharded, 3)) == {"ups", "decoder", "heads"}


def test_what_was_taken_over_stands_in_the_package(setup: TrainSetup) -> None:
    saved(setup.objects, network_3d())
    settings = setup.settings.model_copy(
        update={"init_from": InitialWeights(model="trunk", only=("encoder",)), "epochs": 2}
    )
    begun = replace(setup, settings=settings, run="runs/b")
    package = save_trained(begun, fit(begun, World()), "tuned", spec="")
    told = package.config["initialised"]
    fresh = ["decoder.0.0.0", "decoder.0.0.1", "heads.0", "ups.0"]
    assert told["fresh_layers"] == fresh
    assert told["taken"] + told["fresh"] == len(package.weights())
    assert told["model"].startswith("trunk@")


def network_3d() -> Network:
    options = model_options({**MODEL, "dims": 3})
    return MODELS.get("unet").build(options, 1, 3, (8, 8, 8))


def test_rates_are_factors_by_part() -> None:
    unet = network("unet", features=[4, 8, 16])
    made = build_optimiser(unet, OptimiserSettings(), {"encoder": 0.1, "encoder.2": 0.5})
    factor = {id(one): group["factor"] for group in made.param_groups for one in group["params"]}
    found = {name: factor[id(one)] for name, one in unet.named_parameters()}
    assert {found[n] for n in found if n.startswith("encoder.2")} == {0.5}
    assert {found[n] for n in found if n.startswith(("encoder.0", "encoder.1"))} == {0.1}
    assert {found[n] for n in found if not n.startswith("encoder")} == {1.0}
    with pytest.raises(SpecError, match="unknown-layer"):
        build_optimiser(unet, OptimiserSettings(), {"encodr": 0.1})


def test_a_rate_is_that_of_the_schedule_times_its_factor(setup: TrainSetup) -> None:
    slow = setup.settings.model_copy(update={"rates": {"encoder": 1e-9}, "freeze": ()})
    slow = slow.model_copy(update={"optimiser": OptimiserSettings(lr=1e-2, weight_decay=0)})
    setup = replace(setup, settings=slow, model={**MODEL, "norm": "instance"})
    begun = begun_of(setup)
    result = fit(setup, World())
    after = at(setup, 6)
    far = {name: float((after[name] - begun[name]).abs().max()) for name in begun}
    assert max(value for name, value in far.items() if name.startswith("encoder")) < 1e-9
    assert min(value for name, value in far.items() if "weight" in name and "ups" in name) > 1e-3
    assert max(row["lr"] for row in result.rows) == pytest.approx(1e-2, rel=0.1)


def test_short_forms_are_the_long_ones() -> None:
    short = TrainSettings.model_validate({"init_from": "net@abcdef", "freeze": ["encoder"]})
    long = {"init_from": {"model": "net@abcdef"}, "freeze": [{"parts": ["encoder"]}]}
    assert short == TrainSettings.model_validate(long)
    with pytest.raises(ValidationError, match="never learn"):
        TrainSettings.model_validate({"epochs": 4, "freeze": [{"parts": "encoder", "until": 4}]})


def test_nothing_to_learn_at_first_is_refused(setup: TrainSetup) -> None:
    parts = ("encoder", "ups", "decoder", "heads")
    frozen = setup.settings.model_copy(update={"freeze": (Frozen(parts=parts, until=1),)})
    with pytest.raises(SpecError, match="nothing-to-learn"):
        fit(replace(setup, settings=frozen), World())
