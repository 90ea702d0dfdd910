"""Recordings at another rate, each stretch by itself, digital as they were."""

from collections.abc import Iterator
from typing import Any, ClassVar

from pydantic import Field

from medray.formats.signal.leads import Leads, wanted_of
from medray.formats.signal.recording import array_of, spec_of
from medray.formats.signal.rewritten import rewritten
from medray.steps.transform.transforms.base import Transformation, TransformOptions
from medray.storage.shards.holds import Holds, Needs, named, names
from medray.storage.shards.records import Refusal
from medray.storage.shards.samples import Sample
from medray.storage.shards.schema import Arrays
from medray.storage.shards.stored import Stored


class ResampleOptions(TransformOptions):
    """The rate, and of which leads."""

    rate: float = Field(gt=0, le=100_000, description="samples a second of all leads")
    leads: list[str | list[str]] = Field(
        [], description="names; a list of names is one lead, the first that is there; none: all"
    )


class Resample(Transformation):
    """A recording to one with all its leads at one rate, by a polyphase filter.

    Values are digital still, with the same gain and baseline, rounded to the nearest step. The row
    is that of the recording; annotations have their places at the new rate.
    """

    name: ClassVar[str] = "resample"
    Options: ClassVar[type[TransformOptions]] = ResampleOptions
    options: ResampleOptions

    @classmethod
    def needs(cls, options: ResampleOptions, role: str = "") -> Needs:
        """Recordings."""
        return Needs(columns=names("channels"), hint="ingest recordings by a format of signals")

    @classmethod
    def arrays(cls, options: ResampleOptions, using: frozenset[str]) -> Arrays:
        """One, of the rate."""
        return {array_of(options.rate): spec_of(options.rate)}

    @classmethod
    def holds(cls, options: ResampleOptions, using: frozenset[str]) -> Holds:
        """Recordings at the rate."""
        return Holds(named(cls.arrays(options, using)))

    def apply(self, sample: Stored) -> Iterator[Sample | Refusal]:
        """The recording, written while it is made.

        Raises:
            DataError: see medray.formats.signal.leads.
        """
        options = self.options
        leads = Leads(sample, wanted_of(sample.row, options.leads), options.rate)
        made: dict[str, Any] = {array_of(leads.rate): leads.slabs()}
        yield Sample(sample.id, rewritten(sample.row, leads), made)
