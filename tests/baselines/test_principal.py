import numpy as np
import pytest
from sklearn.decomposition import PCA

from medray.baselines.principal import KEPT, Principal
from medray.baselines.stored import decode, encode
from medray.tasks import build_task

TASK = build_task({"name": "anomaly", "normal": ["N"]})


def problem() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    normal = random.normal(0, 1, (200, 3)) @ random.normal(0, 2, (3, 20))
    odd = random.normal(0, 3, (20, 20))
    design = np.concatenate([normal, odd]) + random.normal(4, 0.1, (220, 20))
    return design.astype(np.float32), np.repeat([[0.0, 1.0], [1.0, 1.0]], [200, 20], axis=0)


def test_equals_scikit_learn_on_normal_samples() -> None:
    design, targets = problem()
    fitted = Principal.fit(design, targets, TASK)
    assert fitted is not None
    wanted = PCA(KEPT).fit(design[:200])
    back = wanted.inverse_transform(wanted.transform(design))
    answers = fitted.answers(design)[:, 0]
    np.testing.assert_allclose(answers, np.square(design - back).mean(1), rtol=1e-2, atol=1e-4)
    assert answers[200:].min() > answers[:200].max()


def test_components_travel() -> None:
    fitted = Principal.fit(*problem(), TASK)
    assert fitted is not None
    (found,) = decode(encode([fitted]), Principal)
    design, _ = problem()
    assert np.array_equal(found.answers(design), fitted.answers(design))


@pytest.mark.parametrize("normal", [0, 1])
def test_of_too_few_normal_samples_there_are_none(normal: int) -> None:
    design, targets = problem()
    assert Principal.fit(design[200 - normal :], targets[200 - normal :], TASK) is None
