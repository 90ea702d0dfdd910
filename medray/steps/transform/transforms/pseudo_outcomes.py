"""Samples with the effect that each would have by itself, as far as one outcome tells: what the
second stage of a DR-learner learns from."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa
from pydantic import Field

from medray.errors import DataError, SpecError
from medray.steps.transform.transforms.base import Transformation, TransformOptions
from medray.storage.catalog.datasets import Dataset
from medray.storage.shards.holds import Holds, Needs, names
from medray.storage.shards.reader import Shard
from medray.storage.shards.records import Refusal
from medray.storage.shards.samples import Sample
from medray.storage.shards.schema import ANY, Arrays, ArraySpec, Axis
from medray.storage.shards.stored import InShard
from medray.tasks.metric import Metric
from medray.tasks.section import Section, Tile

if TYPE_CHECKING:
    from medray.tasks.treatment import TreatmentEffect

PREDICTIONS = "predictions"
PSEUDO = "pseudo"


class PseudoOutcomes(Transformation):
    """Each sample as it was, with columns of nuisances and of its pseudo-outcome (Kennedy 2020).

    The nuisances are what `predictions` say of it, and these are to be of networks that have not
    seen it: of a training by folds.
    """

    class Options(TransformOptions):
        """What can be chosen."""

        column: str = Field("pseudo_outcome", description="column of the pseudo-outcome")

    name: ClassVar[str] = "pseudo-outcomes"
    roles: ClassVar[tuple[str, ...]] = (PREDICTIONS,)
    required: ClassVar[frozenset[str]] = frozenset({PREDICTIONS})
    options: Options

    @classmethod
    def needs(cls, options: Options, role: str = "") -> Needs:
        """Of predictions what a first stage says."""
        return Needs(columns=names("y0", "y1", "propensity")) if role else Needs()

    @classmethod
    def arrays(cls, options: Options, using: frozenset[str]) -> Arrays:
        """Those that there were, of features."""
        return {ANY: ArraySpec((Axis("feature"),))}

    @classmethod
    def holds(cls, options: Options, using: frozenset[str]) -> Holds:
        """All that there was, and more."""
        return Holds()

    @classmethod
    def sections(cls, name: str, attributes: Mapping[str, Any]) -> list[Section]:
        """What pseudo-outcomes are like."""
        found = attributes.get("pseudo_outcomes")
        if found is None:
            return []
        labels = {"mean": "mean", "deviation": "standard deviation", "largest": "largest size"}
        tiles = [Tile(Metric(labels[key]), value) for key, value in found.items() if key in labels]
        return [Section(title=f"Pseudo-outcomes: {name}", tiles=tiles)]

    def accept(self) -> None:
        """See Transformation and `_task`."""
        _ = self._task

    def apply(self, sample: InShard) -> Iterator[Sample | Refusal]:
        """The sample, with its columns.

        Raises:
            DataError: there is no prediction of it (code "no-prediction"); or see
                `TreatmentEffect.second_stage`.
        """
        given = self._given.get(sample.id)
        if given is None:
            raise DataError(
                "there is no prediction of the sample",
                code="no-prediction",
                about=sample.id,
                hint="predict all samples that are to be learnt from",
            )
        truth = Sample(sample.id, dict(sample.row))
        made = self._task.second_stage(truth, Sample(sample.id, given))
        row = {**sample.row, **made, self.options.column: made[PSEUDO]}
        if self.options.column != PSEUDO:
            del row[PSEUDO]
        yield Sample(sample.id, row, {one: sample.array(one)[...] for one in sample.names})

    def conclude(self, shards: Sequence[Shard], data: Dataset) -> dict[str, Any]:
        """Attribute `pseudo_outcomes`: mean, deviation and largest size; and names of features."""
        column = self.options.column
        tables = [shard.columns([column]) for shard in shards]
        values = pa.concat_tables(tables)[column].to_numpy() if tables else np.zeros(0)
        kept = {name: data.attributes[name] for name in ("features",) if name in data.attributes}
        if not len(values):
            return kept
        told = {"mean": values.mean(), "deviation": values.std(), "largest": np.abs(values).max()}
        return {**kept, "pseudo_outcomes": {name: float(value) for name, value in told.items()}}

    @cached_property
    def _task(self) -> "TreatmentEffect":
        """Of the predictions.

        Raises:
            SpecError: they are no first stage of a treatment effect (code "no-nuisances").
        """
        from medray.tasks import build_task  # loads torch
        from medray.tasks.treatment import TreatmentEffect

        predictions = self.using[PREDICTIONS]
        options = predictions.attributes.get("task")
        task = None if options is None else build_task(options)
        if not isinstance(task, TreatmentEffect) or task.options.pseudo:
            raise SpecError(
                "the predictions say nothing of outcomes and propensities",
                code="no-nuisances",
                about=predictions.reference,
                hint="take those of a task `treatment-effect` without `pseudo`, trained by folds",
            )
        return task

    @cached_property
    def _given(self) -> dict[str, dict[str, Any]]:
        """Rows of predictions, by id."""
        _ = self._task
        predictions = self.using[PREDICTIONS]
        there = predictions.manifest.columns
        wanted = ("sample_id", "y0", "y1", "effect", "propensity", "observed0", "observed1")
        rows = predictions.columns([one for one in wanted if one in there]).to_pylist()
        return {str(row.pop("sample_id")): row for row in rows}
