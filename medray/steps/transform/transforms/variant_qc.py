"""Quality of genotype calls: statistics and masks beside the calls, which stay where they are."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from medray.engine.quality.numbers_for_pages import binned, bins, listed
from medray.engine.quality.relatedness import principal_samples
from medray.engine.quality.variants import (
    Thresholds,
    add_up,
    allele_kinds,
    sample_statistics,
    statistics,
    tally,
)
from medray.errors import DataError
from medray.steps.transform.transforms.base import Transformation, TransformOptions
from medray.storage.catalog.datasets import Dataset
from medray.storage.shards.holds import Needs, names
from medray.storage.shards.reader import Shard
from medray.storage.shards.records import Refusal
from medray.storage.shards.samples import Sample
from medray.storage.shards.schema import Arrays, ArraySpec, Axis
from medray.storage.shards.stored import InShard
from medray.tasks.section import Section

CALLS, ALLELES, DEPTH = "call_genotype", "variant_allele", "call_DP"
STATISTICS, MASKS, COUNTS = "variant_statistics", "variant_pass", "sample_counts"
HISTOGRAMS = {
    "call_rate": (0.0, 1.0),
    "maf": (0.0, 0.5),
    "het_observed": (0.0, 1.0),
    "het_expected": (0.0, 1.0),
    "log_hwe": (0.0, 20.0),
    "depth": (0.0, 100.0),
}


class VariantQc(Transformation):
    """A partition of calls to its statistics.

    Of each partition: `variant_statistics` float32 (variants, statistics), whose names stand in the
    row; `variant_pass` bool (variants, 1 + thresholds), first whether a variant keeps to all of
    them; `sample_counts` int64 (counts, samples), to be added up over partitions. The dataset's
    attribute `qc` has what all partitions say together, samples by their place in the calls: ids
    stay there.
    """

    class Options(TransformOptions):
        """Thresholds, by plink's names; null looks at all and refuses none."""

        geno: float | None = Field(
            None, ge=0, le=1, description="largest share of a variant's calls that is missing"
        )
        mind: float | None = Field(
            None, ge=0, le=1, description="largest share of a sample's calls that is missing"
        )
        maf: float | None = Field(None, ge=0, le=0.5, description="smallest minor allele frequency")
        hwe: float | None = Field(
            None, ge=0, le=1, description="smallest exact p-value of Hardy-Weinberg equilibrium"
        )
        components: int = Field(
            4, ge=0, le=50, description="principal components of the samples; 0: none"
        )
        component_variants: int = Field(
            5000, ge=2, description="passing common variants that components are made of, at most"
        )
        seed: int = 0

    name: ClassVar[str] = "variant-qc"
    options: Options

    @classmethod
    def sections(cls, name: str, attributes: Mapping[str, Any]) -> list[Section]:
        """See medray.steps.transform.transforms.variant_qc_page."""
        from medray.steps.transform.transforms.variant_qc_page import section

        return [section(name, attributes["qc"])] if "qc" in attributes else []

    @classmethod
    def needs(cls, options: Options, role: str = "") -> Needs:
        """Calls."""
        hint = "it goes over what the format `vcf` makes with `table: calls`"
        return Needs((names(CALLS), names(ALLELES)), hint=hint)

    @classmethod
    def arrays(cls, options: Options, using: frozenset[str]) -> Arrays:
        """See the class."""
        variant, sample, statistic = Axis("variant"), Axis("sample"), Axis("statistic")
        return {
            STATISTICS: ArraySpec((variant, statistic), ("float32",)),
            MASKS: ArraySpec((variant, Axis("threshold")), ("bool",)),
            COUNTS: ArraySpec((statistic, sample), ("int64",)),
        }

    @property
    def thresholds(self) -> Thresholds:
        """Of variants and samples."""
        options = self.options
        return Thresholds(options.geno, options.mind, options.maf, options.hwe)

    def apply(self, sample: InShard) -> Iterator[Sample | Refusal]:
        """Counts by dask, chunk by chunk as the calls are stored."""
        import dask

        compute: Any = dask.compute  # type: ignore[attr-defined]
        names = sample.names
        if CALLS not in names or ALLELES not in names:
            raise DataError(
                "the sample holds no calls",
                code="no-calls",
                hint="variant-qc goes over what the format `vcf` makes with `table: calls`",
            )
        kinds = allele_kinds(np.asarray(sample.array(ALLELES)[...]))
        depth = _lazy(sample, DEPTH) if DEPTH in names else None
        genotype = _lazy(sample, CALLS)
        counts = compute(tally(genotype, kinds, depth))[0]
        found = statistics(counts, genotype.shape[1])
        masks = self.thresholds.variants(found)
        every = np.logical_and.reduce([np.ones(len(kinds), bool), *masks.values()])
        per_sample = [name for name in counts if name.startswith("sample_")]
        row = {
            "variants": len(kinds),
            "passed": int(every.sum()),
            "ti": int((kinds == "ti").sum()),
            "tv": int((kinds == "tv").sum()),
            "multi_allelic": int(((kinds != "").sum(1) > 1).sum()),
            "monomorphic": int((counts["allele_counts"][:, 1:].sum(1) == 0).sum()),
            "statistics": list(found),
            "thresholds": list(masks),
            "refused": [int((~mask).sum()) for mask in masks.values()],
            "counts": per_sample,
        }
        arrays = {
            STATISTICS: np.stack(list(found.values()), 1).astype(np.float32),
            MASKS: np.stack([every, *masks.values()], 1),
            COUNTS: np.stack([counts[name].astype(np.int64) for name in per_sample]),
        }
        yield Sample(sample.id, row, dict(arrays))

    def conclude(self, shards: Sequence[Shard], data: Dataset) -> dict[str, Any]:
        """Histograms over all variants, statistics of all samples, components of the samples."""
        rows = [row for shard in shards for row in shard.table.to_pylist()]
        if not rows:
            return {}
        histograms = {
            name: np.zeros(len(bins(*ends)) - 1, int) for name, ends in HISTOGRAMS.items()
        }
        for values, columns in _each(shards, STATISTICS, "statistics"):
            found = dict(zip(columns, values.T, strict=True))
            with np.errstate(divide="ignore"):
                found["log_hwe"] = -np.log10(np.maximum(found["hwe"], 1e-300))
            for name, ends in HISTOGRAMS.items():
                if name in found:
                    histograms[name] += binned(found[name], *ends)
        parts = (
            dict(zip(names, part, strict=True)) for part, names in _each(shards, COUNTS, "counts")
        )
        variants = sum(row["variants"] for row in rows)
        samples = sample_statistics(add_up(parts), variants)
        kept = self.thresholds.samples(samples)
        passing = np.logical_and.reduce([np.ones(len(samples["call_rate"]), bool), *kept.values()])
        refused = {
            name: sum(row["refused"][at] for row in rows)
            for at, name in enumerate(rows[0]["thresholds"])
        }
        summary: dict[str, Any] = {
            "kind": "variants",
            "thresholds": self.options.model_dump(include={"geno", "mind", "maf", "hwe"}),
            "variants": {
                name: sum(row[name] for row in rows)
                for name in ("variants", "passed", "ti", "tv", "multi_allelic", "monomorphic")
            },
            "refused": {**refused, **{name: int((~mask).sum()) for name, mask in kept.items()}},
            "histograms": {
                name: {
                    "low": HISTOGRAMS[name][0],
                    "high": HISTOGRAMS[name][1],
                    "counts": c.tolist(),
                }
                for name, c in histograms.items()
                if c.any()
            },
            "samples": {name: listed(values) for name, values in samples.items()},
            "sample_pass": passing.tolist(),
        }
        if self.options.components:
            summary["components"] = self._components(shards, data, passing)
        return {"qc": summary}

    def _components(
        self, shards: Sequence[Shard], data: Dataset, passing: np.ndarray
    ) -> dict[str, Any]:
        ids = {row: at for at, row in enumerate(data.samples["sample_id"].to_pylist())}
        places, chosen = [], []
        for shard in shards:
            for number, row in enumerate(shard.table.to_pylist()):
                maf = shard.array(number, STATISTICS)[...][:, row["statistics"].index("maf")]
                good = shard.array(number, MASKS)[...][:, 0]
                places.append(ids[row["sample_id"]])
                chosen.append(np.flatnonzero(good & (maf >= 0.05)))
        return principal_samples(
            [data.array(place, CALLS) for place in places],
            chosen,
            np.flatnonzero(passing),
            components=self.options.components,
            variants=self.options.component_variants,
            seed=self.options.seed,
        )


def _lazy(sample: InShard, name: str) -> Any:
    """The array as dask's, in the chunks it is stored in; one thread reads it at a time."""
    import dask.array

    da: Any = dask.array
    found = sample.array(name)
    return da.from_array(
        found, chunks=found.chunk, asarray=False, name=False, lock=True, fancy=False
    )


def _each(shards: Sequence[Shard], name: str, names: str) -> Iterator[tuple[np.ndarray, list[str]]]:
    """An array of every sample, one at a time, and the names of its columns or rows."""
    for shard in shards:
        for number, row in enumerate(shard.table.to_pylist()):
            yield shard.array(number, name)[...], row[names]
