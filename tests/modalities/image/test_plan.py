import numpy as np
import pytest

from medray.errors import DataError, SpecError
from medray.modalities.image.augment import ImageAugment
from medray.modalities.image.normalise import ChannelNorm
from medray.modalities.image.options import ImagePlanOptions
from medray.modalities.image.plan import ImagePlan, choose_batch, choose_patch, make_plan
from medray.modalities.image.survey import Fingerprint, fingerprint
from medray.storage.catalog.datasets import Dataset
from medray.storage.shards.samples import Sample
from medray.tasks import build_task

MASKS = {"name": "segmentation", "classes": ["background", "a", "b"]}


def found(shapes, spacings=None, **options) -> Fingerprint:
    spacings = spacings or [(1.0,) * len(shapes[0])] * len(shapes)
    return Fingerprint(
        channels=1,
        shapes=tuple(shapes),
        spacings=tuple(spacings),
        frequencies=(0.8, 0.1, 0.1),
        **options,
    )


def test_the_patch_of_msd_hippocampus_is_nnunets() -> None:
    # nnU-Net plans 40 x 56 x 40 and a batch of 9 for Task04 (its 5 % rule).
    shapes = [(36, 50, 35)] * 260
    plan = make_plan(found(shapes), build_task(MASKS), device="cuda")
    assert plan.patch == (40, 56, 40)
    assert plan.spacing_mm is None
    assert plan.batch_size == 9
    assert plan.pool_steps == ((2, 2, 2),) * 3


def test_a_large_volume_gets_a_cube_in_millimetres() -> None:
    patch = choose_patch((300, 512, 512), (2.0, 1.0, 1.0), 128**3, 6)
    assert patch[1] == patch[2]
    assert patch[1] == pytest.approx(2 * patch[0], rel=0.2)
    assert all(size % 16 == 0 for size in patch)
    assert 0.6 * 128**3 < np.prod(patch) <= 128**3


def test_spacing_is_the_median_and_finer_across_thick_slices() -> None:
    shapes = [(40, 200, 200)] * 4
    spacings = [(5.0, 0.7, 0.7), (5.0, 0.8, 0.8), (6.0, 0.8, 0.8), (2.0, 0.9, 0.9)]
    plan = make_plan(found(shapes, spacings), build_task(MASKS))
    assert plan.spacing_mm is not None
    assert plan.spacing_mm[1:] == (0.8, 0.8)
    assert plan.spacing_mm[0] == pytest.approx(np.percentile([5, 5, 6, 2], 10), abs=1e-3)
    assert "10th percentile" in plan.reasons["spacing_mm"]
    assert plan.network_shape((10, 8, 8), (plan.spacing_mm[0] * 2, 0.8, 0.4)) == (20, 8, 4)


def test_the_job_wins() -> None:
    task = build_task(MASKS)
    given = ImagePlanOptions(patch=(16,) * 3, spacing_mm=(2,) * 3, normalise="none", foreground=0.2)
    plan = make_plan(found([(40, 40, 40)] * 9), task, batch_size=3, given=given)
    assert (plan.patch, plan.spacing_mm, plan.batch_size) == ((16, 16, 16), (2, 2, 2), 3)
    assert (plan.channels, plan.foreground) == ((ChannelNorm(scheme="none"),), 0.2)
    assert plan.median_shape == (20, 20, 20)
    assert plan.reasons["patch"] == "given by the job"
    whole = build_task({"name": "classification", "classes": ["a", "b", "c"]})
    assert make_plan(found([(40, 40)] * 9), whole).foreground == 0  # nothing is drawn there


def test_a_grid_of_ones_own_is_no_grid() -> None:
    look = found([(40, 40)] * 2, [(1.0, 1.0), (2.0, 2.0)])
    assert make_plan(look, build_task(MASKS)).spacing_mm == (1.5, 1.5)
    own = make_plan(look, build_task(MASKS), given=ImagePlanOptions(spacing_mm="own"))
    assert own.spacing_mm is None
    assert own.reasons["spacing_mm"] == "given by the job"


@pytest.mark.parametrize(
    ("given", "field", "code"),
    [
        ({"patch": [8, 8, 8]}, "plan.patch", "dims-mismatch"),
        ({"spacing_mm": [1, 1, 1]}, "plan.spacing_mm", "dims-mismatch"),
        ({"channels": [{}, {}]}, "plan.channels", "channel-mismatch"),
    ],
)
def test_what_the_job_fixes_is_of_the_datas_axes(given: dict, field: str, code: str) -> None:
    fixed = ImagePlanOptions.model_validate(given)
    with pytest.raises(SpecError) as caught:
        make_plan(found([(8, 8)]), build_task(MASKS), given=fixed)
    assert (caught.value.code, caught.value.about) == (code, field)
    with pytest.raises(SpecError, match="dims-mismatch"):
        make_plan(found([(8, 8)]), build_task(MASKS), dims=3)


def test_whole_images_are_not_rounded_and_batches_stay_small() -> None:
    task = build_task({"name": "classification", "classes": ["n", "p"]})
    plan = make_plan(found([(28, 28)] * 4708), task, augment=ImageAugment(mirror=(1,)))
    assert plan.patch == (28, 28)
    assert plan.batch_size == 64
    assert plan.mirror_axes == (1,)
    assert choose_batch([(28, 28)] * 30, (28, 28), 10**6, dense=False) == 3


def test_a_plan_survives_json() -> None:
    plan = make_plan(found([(20, 20, 20)] * 5), build_task(MASKS))
    assert ImagePlan.model_validate_json(plan.model_dump_json()) == plan


def test_windows_are_whole_images_or_patches() -> None:
    given = ImagePlanOptions(patch=(32, 32))
    plan = make_plan(found([(32, 32)] * 9), build_task(MASKS), given=given)
    assert plan.window((33, 50), (8, 8)) == (40, 56)
    assert plan.window((100, 100), (8, 8)) == (32, 32)


def test_the_fingerprint_counts_what_ingest_did_not(balls: Dataset) -> None:
    chosen = balls.select({"split": "train"})
    task = build_task(MASKS)
    look = fingerprint(balls, chosen, task)
    labels = [balls.array(index, "label")[...] for index in chosen]
    counts = sum(np.bincount(label.ravel(), minlength=3) for label in labels)
    assert look.frequencies == pytest.approx(tuple(counts / counts.sum()))
    assert look.shapes == tuple(label.shape for label in labels)
    assert look.channels == 1
    with pytest.raises(DataError, match="unknown-label"):
        fingerprint(balls, chosen, build_task({"name": "segmentation", "classes": ["bg", "a"]}))
    with pytest.raises(SpecError, match="no-samples"):
        fingerprint(balls, [], task)


def test_ct_is_scaled_by_the_foreground_of_the_data(make_dataset) -> None:
    generator = np.random.default_rng(0)
    samples, inside = [], []
    for number in range(3):
        label = np.zeros((6, 20, 20), np.uint8)
        label[2:5, 4:16, 4:16] = 1
        image = generator.integers(-1000, 2000, (1, 6, 20, 20)).astype(np.int16)
        inside.append(image[0][label > 0])
        row = {"modality": "CT", "spacing_mm": [1.0] * 3}
        samples.append(Sample(f"s{number}", row, {"image": image, "label": label}))
    task = build_task({"name": "segmentation", "classes": ["bg", "a"]})
    look = fingerprint(make_dataset("ct", samples), [0, 1, 2], task)
    plan = make_plan(look, task)
    values = np.concatenate(inside).astype(float)
    (channel,) = plan.channels
    assert channel.scheme == "ct"
    assert (channel.low, channel.high) == pytest.approx(np.percentile(values, [0.5, 99.5]))
    assert (channel.mean, channel.std) == pytest.approx((values.mean(), values.std()))
    assert "physical scale" in plan.reasons["channels"]
    given = ImagePlanOptions(channels=(ChannelNorm(scheme="ct", low=-20, high=80),))
    look = fingerprint(make_dataset("ct", samples), [0, 1, 2], task, given=given)
    assert look.intensities == ()  # nobody asks for them
    assert make_plan(look, task, given=given).channels == given.channels
