"""The contract of a transformation: one stored sample to any number of new ones."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from medray.modalities.lot import Lot
from medray.spec.base import Settings
from medray.storage.catalog.datasets import Dataset
from medray.storage.shards.holds import Holds, Needs, named
from medray.storage.shards.reader import Shard
from medray.storage.shards.records import Refusal
from medray.storage.shards.rows import Rows
from medray.storage.shards.samples import Sample
from medray.storage.shards.schema import Arrays
from medray.storage.shards.stored import InShard
from medray.tasks.section import Section


class TransformOptions(Settings):
    """Base of a transformation's options: frozen, unknown keys refused."""


class Transformation:
    """Makes new samples of stored ones. Built once per worker.

    Args:
        options: an instance of `Options`.
        using: the dataset of each role that the step names.
        attributes: what `reads` took of the attributes of the dataset that is gone over.
    """

    name: ClassVar[str]
    Options: ClassVar[type[TransformOptions]]
    roles: ClassVar[tuple[str, ...]] = ()
    """Further datasets that it looks things up in; a step names them under `using`."""
    required: ClassVar[frozenset[str]] = frozenset()
    """Those of `roles` that a step has to name."""
    adds: ClassVar[tuple[str, ...]] = ()
    """Those of `roles` whose samples are gone over too, behind those of `data`."""
    whole: ClassVar[bool] = False
    """What it makes of a sample hangs on all samples of `data`: one more changes them all."""
    together: ClassVar[bool] = False
    """Samples of a shard are gone over at once, by `apply_lot`; a step selects none of them."""
    data: Dataset
    """What is gone over."""

    def __init__(
        self, options: Any, using: Mapping[str, Dataset], attributes: Mapping[str, Any]
    ) -> None:
        self.options, self.using, self.attributes = options, using, attributes

    @classmethod
    def needs(cls, options: Any, role: str = "") -> Needs:
        """What samples must have: of the dataset that is gone over, or of a role of `using`."""
        return Needs()

    @classmethod
    def arrays(cls, options: Any, using: frozenset[str]) -> Arrays:
        """Every array that new samples may have, by name, given the roles that a step names."""
        return {}

    @property
    def declared(self) -> Arrays:
        """Every array that new samples may have; by default as `arrays` says."""
        return self.arrays(self.options, frozenset(self.using))

    @classmethod
    def holds(cls, options: Any, using: frozenset[str]) -> Holds:
        """What the dataset that is made holds, as far as the options and the roles say."""
        return Holds(named(cls.arrays(options, using)))

    @classmethod
    def reads(cls, attributes: dict[str, Any], using: frozenset[str]) -> dict[str, Any]:
        """What of a dataset's attributes decides what is made, given the roles that a step names;
        nothing by default."""
        return {}

    @classmethod
    def sections(cls, name: str, attributes: Mapping[str, Any]) -> list[Section]:
        """What a page shows of a dataset that was made.

        Args:
            name: of the dataset.
            attributes: of its version, those of `conclude` among them.
        """
        return []

    def accept(self) -> None:
        """Refuse datasets that it can do nothing with, before any unit is begun.

        Raises:
            SpecError: it can't.
        """

    def apply(self, sample: InShard) -> Iterator[Sample | Refusal]:
        """New samples of one; their ids are unique in the dataset that is made.

        Raises:
            DataError: the sample is unusable; it is quarantined.
        """
        raise NotImplementedError

    def apply_lot(self, lot: Lot, key: str) -> Iterator[Rows | Refusal]:
        """New samples of many that follow one another, of one that goes over them `together`.

        Args:
            lot: rows of a shard, in order.
            key: of the unit's one input, which they are; refusals name it, and a sample.

        Raises:
            DataError: all of them are unusable; they are quarantined.
        """
        raise NotImplementedError

    def conclude(self, shards: Sequence[Shard], data: Dataset) -> dict[str, Any]:
        """Attributes of the dataset that was made, JSON-able, from all its shards in order.

        Runs once, on the driver: shards hold what workers have summed up already.

        Args:
            shards: of the dataset that was made.
            data: the dataset that was gone over, for what needs all samples at once.
        """
        return {}
