"""Resolve a scoring: a model, a genome and a table of sites to units."""

from medray.errors import DataError, SpecError
from medray.ids import short
from medray.steps.base.planned import plan_rows
from medray.steps.base.resolved import Resolved
from medray.steps.variants.genome import Genome
from medray.steps.variants.operation import SITE, columns_of, tracks_of
from medray.steps.variants.spec import VariantsSpec
from medray.storage.catalog.datasets import Dataset, open_dataset
from medray.storage.catalog.models import open_model
from medray.storage.catalog.versions import versions_of
from medray.storage.store.objects import Objects

OPERATION = "medray.steps.variants.operation:Score"
SCORING = "scoring"  # attribute of a version: equal where scores can stand for each other


def resolve(spec: VariantsSpec, objects: Objects) -> Resolved[VariantsSpec]:
    """See medray.steps.base.step.Step.

    Raises:
        SpecError: model, genome or sites are of another kind, or do not exist.
    """
    model, data = open_model(objects, spec.model), open_dataset(objects, spec.data)
    stored = open_dataset(objects, spec.genome)
    genome = Genome(stored)
    _check_sites(data)
    if "folds" in model.config:
        raise SpecError(
            "variants are scored by one network, not by one for each fold",
            code="folded-model",
            about=model.reference,
            hint="train one on all samples, without `folds`",
        )
    plan = model.config["plan"]
    tracks = tracks_of(plan, spec.tracks, model.reference)
    how = {
        "genome": genome.digest,
        "window": spec.window or plan["length"],
        "statistics": list(spec.statistics),
        "tracks": tracks,
        "reverse_complement": spec.reverse_complement,
        "precision": spec.precision,
        "batch": spec.batch,
    }
    scoring = short({**how, "model": model.digest})
    planned = plan_rows(
        data,
        "score",
        identity={**how, "where": spec.select},
        rows=spec.unit,
        model=model.digest,
    )
    return Resolved(
        spec,
        spec.output,
        parents=[data.reference, model.reference, stored.reference],
        operation=OPERATION,
        parameters={
            **how,
            "genome": stored.reference,
            "model": model.reference,
            "where": spec.select,
            "known": [version.reference for version in _earlier(objects, spec.output, scoring)],
        },
        planned=planned,
        attributes={
            "data": data.reference,
            "model": model.reference,
            "genome": stored.reference,
            "select": spec.select,
            "variants": {**how, "columns": columns_of(spec.statistics, tracks)},
            SCORING: scoring,
        },
        runs_on=spec.engine,
    )


def _check_sites(data: Dataset) -> None:
    """Refuse what is no table of sites; an empty one may be."""
    for number, rows in enumerate(data.units.column("rows")):
        if rows:
            names = data.shards[number].table.column_names
            missing = [name for name in SITE if name not in names]
            if missing:
                raise SpecError(
                    f"the data have no column {missing[0]!r}",
                    code="no-sites",
                    about=data.reference,
                    hint="ingest a VCF by the format `vcf` with table: sites",
                )
            return


def _earlier(objects: Objects, name: str, scoring: str) -> list[Dataset]:
    """Versions of `name` whose scores were made in the same way, newest first; damaged ones are
    none: what they knew is computed again."""
    found = []
    for version in versions_of(objects, f"datasets/{name}/versions"):
        try:
            dataset = open_dataset(objects, f"{name}@{version}")
        except DataError:
            continue
        if dataset.attributes.get(SCORING) == scoring:
            found.append(dataset)
    return sorted(found, key=lambda one: (one.manifest.created, one.version), reverse=True)
