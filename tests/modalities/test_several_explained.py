"""Several networks that would each call another class are explained for what they call together."""

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from medray.formats.genomics.alphabet import encode
from medray.modalities import modality_of
from medray.modalities.base import Asking, Predictor, Trained
from medray.modalities.folds import predictor_of
from medray.modalities.image.explain.methods import attribute
from medray.modalities.image.explain.target import OfClass
from medray.modalities.image.normalise import ChannelNorm
from medray.modalities.image.plan import ImagePlan
from medray.modalities.loaded import LoadedModel
from medray.modalities.lot import Lot
from medray.modalities.molecule.cases import MoleculeCases
from medray.modalities.molecule.explain import explain
from medray.modalities.sequence.explain import attribute as attribute_bases
from medray.modalities.sequence.plan import SequencePlan
from medray.models.base import Network
from medray.storage.catalog.datasets import Dataset
from medray.storage.shards.samples import Sample
from medray.storage.shards.stored import InMemory, InShard
from medray.tasks import build_task
from tests.modalities.test_molecule_explained import trained as molecular
from tests.molecules import molecules

TASK: dict[str, Any] = {"name": "classification", "classes": ["a", "b", "c"]}
COMMON = {"answers": "sample", "classes": ("a", "b", "c"), "batch_size": 2}
# The first network calls a, the second b; the mean of both is c, .45 beside .27.
CALLED = ((5.0, -5.0, 4.8), (-5.0, 5.0, 4.8))


class Leaning(nn.Module):
    """A network whose logits are its own and, far more, what it leans to."""

    def __init__(self, network: nn.Module, towards: tuple[float, ...]) -> None:
        super().__init__()
        self.own, self.towards = network, torch.tensor(towards)
        self.feature_maps = tuple(f"own.{one}" for one in getattr(network, "feature_maps", ()))
        self.atoms = getattr(network, "atoms", nn.Identity())
        self.attends = False

    def forward(self, inputs: Any) -> Tensor:
        made: Tensor = 0.001 * self.own(inputs) + self.towards
        return made


def leaning(one: Trained) -> list[Trained]:
    """Two of one network that call other classes."""
    return [replace(one, network=cast("Network", Leaning(one.network, to))) for to in CALLED]


def together(members: list[Trained], **options: Any) -> Predictor:
    package = SimpleNamespace(config={"task": TASK}, reference="net@1")
    kind = members[0].modality.PredictOptions
    model = LoadedModel(cast("Any", package), dict(enumerate(members)))
    return predictor_of(model, Asking(kind.model_validate(options), batch=2))


def answered(predictor: Predictor, samples: list[Sample]) -> list[Sample]:
    return list(predictor.compute([predictor.prepare(InMemory(one), 2) for one in samples]))


def built(model: dict[str, Any], plan: Any) -> Trained:
    torch.manual_seed(3)
    modality = modality_of(model)
    network = modality.build(model, plan).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter *= 2
    return Trained(modality, network, build_task(TASK), plan, torch.device("cpu"), "net@1")


@pytest.mark.parametrize("how", ["grad-cam", "occlusion"])
def test_images(how: Any) -> None:
    plan = ImagePlan(
        **COMMON, dims=2, in_channels=1, patch=(16, 16), channels=(ChannelNorm(scheme="none"),),
        pool_steps=(), median_shape=(16, 16), samples=1, frequencies=(1.0,) * 3,
    )  # fmt: skip
    members = leaning(built({"name": "cnn", "dims": 2, "features": [4, 8]}, plan))
    pixels = np.random.default_rng(0).normal(size=(1, 16, 16)).astype(np.float32)
    sample = Sample("p", {"spacing_mm": [1.0, 1.0]}, {"image": pixels})
    (made,) = answered(together(members, outputs=how), [sample])
    target = OfClass(torch.tensor([2]), exclusive=True)
    wanted = [
        attribute(
            how, one.network, one.network.feature_maps, torch.from_numpy(pixels)[None], target
        )
        for one in members
    ]
    assert made.row["explained"] == ["c"]
    mean = torch.stack(wanted).mean(0)[0].numpy()
    assert np.abs(mean).max() > 0
    found = np.asarray(made.arrays["attribution"])[0]
    np.testing.assert_allclose(found, mean, atol=1e-3 * np.abs(mean).max())


def test_molecules(make_dataset: Callable[[str, list[Sample]], Dataset]) -> None:
    one = molecular({"name": "dmpnn", "hidden": 8, "layers": 2}, TASK)
    members, data = leaning(one), make_dataset("some", molecules(5))
    cases = MoleculeCases(data, range(5), one.plan).molecules
    each = [explain(net, cases, [2] * 5).atoms for net in members]
    predictor = together(members, attributions=True)
    (shard,) = data.shards
    bulk = predictor.decided(Lot(shard, np.arange(5)))
    prepared = [predictor.prepare(InShard(shard, at), 2) for at in range(5)]
    served = [made.row for made in predictor.compute(prepared)]
    for at, parts in enumerate(zip(*each, strict=True)):
        mean = np.mean(parts, axis=0)
        near = pytest.approx(mean.tolist(), abs=0.02 * np.abs(mean).sum())
        assert bulk[at]["attributions"] == near
        assert served[at]["attributions"] == near
        assert np.argmax(bulk[at]["probability"]) == np.argmax(served[at]["probability"]) == 2


def test_sequences() -> None:
    plan = SequencePlan(**COMMON, samples=1, length=20, frequencies=(1.0,) * 3)
    members = leaning(built({"name": "seq_cnn", "kernels": [7], "filters": 4, "pool": "max"}, plan))
    text = "ACGTTGCAACGGTATAATCC"
    (made,) = answered(together(members, outputs="mutagenesis"), [Sample("s", {"sequence": text})])
    tokens = torch.from_numpy(encode(text))[None]
    each = [
        attribute_bases(one.network, tokens, "mutagenesis", torch.tensor([2])) for one in members
    ]
    mean = np.mean(each, axis=0)[0]
    assert np.abs(mean).max() > 0
    np.testing.assert_allclose(np.asarray(made.arrays["track"]), mean, atol=1e-6)
