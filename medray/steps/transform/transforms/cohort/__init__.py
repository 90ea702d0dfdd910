"""Cohorts: of whom something is predicted, when, and what was known then; never what came later."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from medray.formats.events.times import iso
from medray.modalities.lot import Lot
from medray.steps.transform.transforms.base import Transformation
from medray.steps.transform.transforms.cohort.features import CODES, FEATURES, HOURS, Maker, chosen
from medray.steps.transform.transforms.cohort.guard import Guard
from medray.steps.transform.transforms.cohort.moments import candidates
from medray.steps.transform.transforms.cohort.options import CohortOptions
from medray.steps.transform.transforms.cohort.page import section
from medray.steps.transform.transforms.cohort.subjects import Subjects
from medray.storage.catalog.datasets import Dataset
from medray.storage.shards.holds import Holds, Needs, named, names
from medray.storage.shards.reader import Shard
from medray.storage.shards.records import Refusal
from medray.storage.shards.rows import Rows
from medray.storage.shards.schema import Arrays, ArraySpec, Axis
from medray.tasks.section import Section

KEPT = ("split", "fold")
LIKE = "like"  # role of a cohort whose codes are taken, as its model knows them
REASONS = {
    "not-known-yet": "the event was not known at the prediction time",
    "not-the-first": "it is not the subject's first",
    "not-asked-for": "no code of `has` was known",
    "age": "the age is none that is asked for, or unknown",
    "excluded": "a code of `exclude.ever` was known",
    "over-by-then": "a code of `exclude.since` came before the prediction time",
    "censored": "the record ends before the horizon, and without the event",
}


class Cohort(Transformation):
    """Subjects to samples, each a subject at a prediction time.

    What is made of a sample are only events that happened before its time and were known then, by
    their `available_at`. Codes are chosen by how many training subjects have them, or are those of
    the cohort in the role `like`, in whose order a model knows them. The guard makes
    samples of each shard again, of events that are cut at the time, and has them equal byte by
    byte.
    """

    name: ClassVar[str] = "cohort"
    Options: ClassVar[type[CohortOptions]] = CohortOptions
    options: CohortOptions
    together: ClassVar[bool] = True
    roles: ClassVar[tuple[str, ...]] = (LIKE,)

    @classmethod
    def needs(cls, options: CohortOptions, role: str = "") -> Needs:
        """Whole subjects."""
        if role == LIKE:
            made = (names(FEATURES),) if options.features else (names(CODES),)
            return Needs(made, names("prediction_time"), hint="name a cohort of the same arrays")
        return Needs(
            (names("time"), names("code")),
            names("subject", "events"),
            hint="make whole subjects by a step of kind gather",
            code="no-subjects",
        )

    @classmethod
    def arrays(cls, options: CohortOptions, using: frozenset[str]) -> Arrays:
        """Features, or codes and hours."""
        if options.features is not None:
            return {FEATURES: ArraySpec((Axis("feature"),), ("float32",), ragged=True)}
        return {
            CODES: ArraySpec((Axis("event"),), ("int32",), ragged=True),
            HOURS: ArraySpec((Axis("event"),), ("float32",), ragged=True),
        }

    @classmethod
    def holds(cls, options: CohortOptions, using: frozenset[str]) -> Holds:
        """Samples with a target, where something is asked."""
        lacks = names() if options.label else names("target")
        return Holds(named(cls.arrays(options, using)), lacks=lacks)

    @classmethod
    def reads(cls, attributes: dict[str, Any], using: frozenset[str]) -> dict[str, Any]:
        """Codes by how common they are, unless those of another cohort are taken."""
        return {} if LIKE in using else {"codes": attributes["codes"]}

    @classmethod
    def sections(cls, name: str, attributes: Mapping[str, Any]) -> list[Section]:
        """See medray.steps.transform.transforms.cohort.page."""
        return [section(name, attributes["cohort"])]

    @cached_property
    def _maker(self) -> Maker:
        if LIKE in self.using:
            return Maker(self.options, self.using[LIKE].attributes["vocabulary"])
        return Maker(self.options, chosen(self.attributes["codes"], self.options.chosen))

    def apply_lot(self, lot: Lot, key: str) -> Iterator[Rows | Refusal]:
        """Samples of subjects, in the order of subjects and times; candidates that are left out
        are passed over by name."""
        options = self.options
        start, stop = int(lot.numbers[0]), int(lot.numbers[-1]) + 1
        subjects = Subjects.of_shard(lot.shard, start, stop)
        table = lot.shard.table.slice(start, stop - start)
        owners = table["subject"].to_pylist()
        found = candidates(subjects, options)
        ids = [
            f"{owners[who]}@{iso(time)}"
            for who, time in zip(found.who.tolist(), found.time.tolist(), strict=True)
        ]
        for at in np.flatnonzero(found.out != "").tolist():
            why = str(found.out[at])
            yield Refusal(key, why, REASONS[why], ids[at], kind="passed-over")
        kept = np.flatnonzero(found.out == "")
        if not len(kept):
            return
        who, time = found.who[kept], found.time[kept]
        made = self._maker.arrays(subjects, who, time)
        how = Guard(self._maker.arrays, options.guard, options.inclusive)
        how.check(subjects, who, time, made)
        where = pa.array(who)
        columns = {
            "sample_id": pa.array([ids[at] for at in kept.tolist()], pa.string()),
            "subject": table["subject"].combine_chunks().take(where),
            "prediction_time": pa.array([ids[at].rpartition("@")[2] for at in kept.tolist()]),
        }
        if found.target is not None:
            columns["target"] = pa.array(found.target[kept], pa.int64())
        for name in KEPT:
            if name in table.column_names:
                columns[name] = table[name].combine_chunks().take(where)
        yield Rows(pa.table(columns), dict(made))

    def conclude(self, shards: Sequence[Shard], data: Dataset) -> dict[str, Any]:
        """Names of features and codes, and counts of samples."""
        samples: dict[str, list[int]] = {}
        subjects = 0
        for shard in shards:
            table = shard.table
            subjects += len(table["subject"].unique())
            split = table["split"].to_pylist() if "split" in table.column_names else None
            target = table["target"].to_pylist() if "target" in table.column_names else None
            for at in range(table.num_rows):
                counts = samples.setdefault(str(split[at]) if split else "all", [0, 0])
                counts[0] += 1
                counts[1] += target[at] if target else 0
        maker = self._maker
        return {
            "cohort": {
                "options": self.options.model_dump(mode="json"),
                "subjects": subjects,
                "of": len(data),
                "samples": samples,
                "codes": len(maker.codes),
                "asked": self.options.label is not None,
            },
            "vocabulary": maker.codes,
            **({"features": {FEATURES: maker.names}} if maker.names else {}),
        }
