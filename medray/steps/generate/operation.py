"""Generate: slices of what a model draws."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import ClassVar

from medray.engine.units.operation import Operation, Unit
from medray.errors import SpecError
from medray.modalities.base import Trained
from medray.modalities.generation import Generation, Model
from medray.modalities.loaded import load_trained
from medray.storage.shards.rows import Rows
from medray.storage.shards.samples import Sample
from medray.storage.shards.schema import Arrays


class Generate(Operation):
    """Draws samples.

    A slice is a function of model, options, seed and its own place, so it is the same whoever draws
    it, and when.

    Parameters: `model` (reference), `options` of the modality's Generation, `seed`.
    Payload of a unit: `start` and `stop`, numbers of samples; its one input is all of them.
    """

    name: ClassVar[str] = "generate"
    device: ClassVar[bool] = True

    def open(self) -> None:
        """Load the network, once for all units."""
        _ = self._trained

    @cached_property
    def _trained(self) -> Trained:
        return load_trained(self.objects, self.parameters["model"])

    def load(self, unit: Unit, key: str) -> Iterator[Sample]:
        """What is to be drawn."""
        yield Sample(key, dict(unit.payload))

    @property
    def arrays(self) -> Arrays:
        """As the modality's Generation says."""
        return self._generation.arrays

    @cached_property
    def _generation(self) -> Generation:
        trained = self._trained
        found = trained.modality.generation()
        if found is None:
            raise SpecError(
                "the model draws nothing", code="no-generation", about=trained.reference
            )
        return found

    def compute(self, samples: Sequence[Sample]) -> Iterator[Rows | Sample]:
        """See Operation."""
        options = self._generation.Options.model_validate(self.parameters["options"])
        for sample in samples:
            drawn = range(sample.row["start"], sample.row["stop"])
            yield from self._generation.draw(
                model_of(self._trained), options, drawn, self.parameters["seed"]
            )


def model_of(trained: Trained) -> Model:
    """A trained network as generations take it."""
    return Model(trained.network, trained.plan, trained.task, trained.device, trained.reference)
