"""FHIR R4: bundles and NDJSON to events of subjects; predictions to RiskAssessment."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from pydantic import Field

from medray.errors import PassedOver
from medray.formats.base import FormatOptions, Found, Input, Source
from medray.formats.events.columns import EVENT_ARRAYS
from medray.formats.events.parts import PART_COLUMNS, Accounted, parts_of
from medray.formats.fhir.files import inputs_of, piece_of
from medray.formats.fhir.reading import Read, events_of, read
from medray.formats.fhir.resources import TABLES
from medray.formats.fhir.risk import write_risks
from medray.formats.files import open_path
from medray.formats.joined import Joined, Look, Piece, Share, in_one_file
from medray.formats.packed import grouped
from medray.formats.signal.deidentify import Deidentify, Pseudonyms
from medray.storage.shards.holds import Holds, Needs, named, names
from medray.storage.shards.records import Refusal
from medray.storage.shards.samples import Sample
from medray.storage.shards.schema import Arrays

GROUP = 64  # files in a unit


class FhirOptions(FormatOptions):
    """What of people is kept, and what is predicted."""

    keep_text: bool = Field(False, description="keep values that are words: they may name people")
    deidentify: Deidentify = Deidentify()
    outcome: str = Field("", description="of RiskAssessment: what is predicted, in words")


class Fhir(Joined):
    """A sample is what one file says of a patient; `gather` makes patients whole. Of predictions
    by patient it writes RiskAssessment, a line each."""

    name: ClassVar[str] = "fhir"
    Options: ClassVar[type[FormatOptions]] = FhirOptions
    options: FhirOptions
    libraries: ClassVar[tuple[str, ...]] = ("orjson",)

    def arrays(self) -> Arrays:
        """Columns of events."""
        return EVENT_ARRAYS

    def holds(self) -> Holds:
        """Events, and whose they are."""
        return Holds(named(EVENT_ARRAYS), names(PART_COLUMNS))

    def ready(self) -> None:
        """The library and the key."""
        super().ready()
        self._pseudonyms()

    def ready_to_write(self) -> None:
        """Nothing: what is written has left already as it is to leave."""

    def plan(self, source: Source) -> Found:
        """A bundle is an input, and so is each piece of a file of lines. Of a file and its gzipped
        copy one is read."""
        inputs, refused = inputs_of(source, self._pseudonyms())
        groups = grouped(inputs, samples=GROUP)
        once = list(range(len(TABLES)))
        return Found(groups, refused, {"tables": list(TABLES), "once": once})

    def shown(self, item: Input) -> tuple[str, str]:
        """See Format; names of bundles are often those of people."""
        return ("" if self._pseudonyms().keyed else item.paths[0]), ""

    def read(self, source: Source, item: Input) -> Iterator[Sample | Refusal]:
        """What the resources of an input say, by patient; those that can't be read are refused, and
        those that are of nobody are passed over."""
        found = read(open_path(source, item.paths[0]), piece_of(item))
        events, owner = events_of(found)
        _of_nobody(found)
        for number, error in sorted(found.bad.items()):
            yield Refusal.of(item.key, error, sample=f"{found.kinds[number]}, row {number + 1}")
        good = np.ones(len(found.subjects), bool)
        good[list(found.bad)] = False
        place, kept = np.cumsum(good) - 1, np.flatnonzero(good).tolist()
        rows = parts_of(
            Accounted(
                pa.array([found.subjects[at] for at in kept], pa.string()),
                [found.kinds[at] for at in kept],
                [found.dropped[at] for at in kept],
            ),
            events,
            place[owner],
            key=item.key,
            pseudonyms=self._pseudonyms(),
            keep_text=self.options.keep_text,
        )
        if rows is not None:
            yield rows

    def needs(self) -> Needs:
        """Predictions of patients."""
        return Needs(
            columns=names("subject"), hint="export predictions of a cohort: each is of a subject"
        )

    def takes(self, names: frozenset[str]) -> frozenset[str]:
        """No array: rows only."""
        return frozenset()

    def shares(
        self, about: dict[str, Any], look: Look, source: Source | None
    ) -> tuple[list[Share], list[Refusal]]:
        """All predictions in one file, named as the dataset is."""
        return in_one_file(f"{about['name']}.ndjson", look), []

    def join(
        self,
        file: str,
        item: Input | None,
        source: Source,
        pieces: Sequence[Piece],
        target: Path,
        about: dict[str, Any],
    ) -> Iterator[Path]:
        """A RiskAssessment a line."""
        write_risks(pieces, target / file, about, self.options.outcome)
        yield target / file

    def _pseudonyms(self) -> Pseudonyms:
        return Pseudonyms(self.options.deidentify)


def _of_nobody(found: Read) -> None:
    """Resources of a kind that is not read and that name no patient: of a bundle with one patient
    they are its; else they are passed over."""
    patients = {one for one in found.subjects if one}
    for number, subject in enumerate(found.subjects):
        if subject or number in found.bad:
            continue
        if len(patients) == 1:
            found.subjects[number] = next(iter(patients))
        else:
            found.bad[number] = PassedOver("the resource is of no patient", code="of-nobody")
