"""QC as transforms: what jobs make of calls and cells equals what the whole matrix says."""

import json
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from medray.engine.quality.variants import allele_kinds
from medray.errors import DataError
from medray.report.content import Report
from medray.report.page import render
from medray.steps.transform.transforms.expression_qc import ExpressionQc
from medray.steps.transform.transforms.variant_qc import VariantQc
from medray.storage.catalog.commit import Commit
from medray.storage.catalog.datasets import Dataset
from medray.storage.catalog.ledger import Ledger
from medray.storage.shards.samples import Sample
from medray.storage.shards.stored import InShard
from medray.storage.shards.writer import ShardWriter
from medray.tasks.section import Figure, Section

Make = Callable[[str, list[Sample]], Dataset]


class Calls:
    """A partition of calls, as `apply` sees it: texts have no place in a plain sample's arrays."""

    def __init__(self, name: str, genotype: np.ndarray, alleles: np.ndarray, at: Any) -> None:
        self.id, self._at = name, at
        self.row: dict[str, Any] = {}
        self._arrays = {"call_genotype": genotype, "variant_allele": alleles}
        self.names = ["call_genotype", "variant_allele"]

    def array(self, name: str) -> Any:
        return self._at("call_genotype") if name == "call_genotype" else self._arrays[name]


def concluded(made: Any, data: Dataset, out: list[Sample]) -> dict[str, Any]:
    ledger = Ledger(data.objects, "out")
    attempt = ledger.begin("u0")
    writer = ShardWriter(
        data.objects, ledger.shard_path(attempt), made.arrays(made.options, frozenset())
    )
    for sample in out:
        writer.add(sample)
    commit = ledger.commit(attempt, Commit("u0", attempt.id, writer.finish(), len(out), []))
    from medray.storage.shards.reader import Shard

    attributes: dict[str, Any] = made.conclude([Shard(data.objects, commit.shard.pinned)], data)
    assert json.loads(json.dumps(attributes, allow_nan=False)) == attributes
    return attributes


def shown(section: Section) -> None:
    """It can be drawn, and no id is on it."""
    html = render(Report("job", "r", "now", [], sections=[section]))
    assert html.count("<svg") == len(section.figures)
    assert all(str(tile.value) in html for tile in section.tiles)
    assert "part0" not in html
    assert "c50" not in html


def cohort() -> tuple[np.ndarray, np.ndarray]:
    """Two populations of 20 and a badly called sample; (300, 41, 2) calls and their alleles."""
    generator = np.random.default_rng(0)
    share = generator.uniform(0.05, 0.95, (300, 1))
    other = np.clip(share + generator.normal(0, 0.3, (300, 1)), 0.02, 0.98)
    shares = np.concatenate([np.repeat(share, 20, 1), np.repeat(other, 21, 1)], 1)
    genotype = (generator.random((300, 41, 2)) < shares[..., None]).astype(np.int8)
    genotype[generator.random((300, 41)) < 0.02] = -1
    genotype[:200, 40] = -1
    genotype[10] = -1
    alleles = np.array([["A", "G"], ["A", "C"], ["AT", "A"]] * 100)
    return genotype, alleles


def test_calls_of_several_partitions(make_dataset: Make) -> None:
    genotype, alleles = cohort()
    cuts = (0, 120, 121, 300)
    pieces = [slice(a, b) for a, b in pairwise(cuts)]
    data = make_dataset(
        "calls",
        [Sample(f"part{n}", {}, {"call_genotype": genotype[p]}) for n, p in enumerate(pieces)],
    )
    made = VariantQc(VariantQc.Options(geno=0.2, mind=0.3, maf=0.1, hwe=1e-6), {}, {})
    out: list[Sample] = []
    for n, piece in enumerate(pieces):
        stored: Any = Calls(
            f"part{n}", genotype[piece], alleles[piece], lambda name, n=n: data.array(n, name)
        )
        out += [one for one in made.apply(stored) if isinstance(one, Sample)]
    qc = concluded(made, data, out)["qc"]
    called = (genotype >= 0).all(-1)
    assert qc["samples"]["call_rate"] == pytest.approx(called.mean(0), rel=1e-4)
    assert qc["sample_pass"] == [True] * 40 + [False]
    others = (genotype == 1).sum((1, 2))
    total = (genotype >= 0).sum((1, 2))
    common = np.minimum(others, total - others) >= 0.1 * total
    masks = np.concatenate([np.asarray(one.arrays["variant_pass"]) for one in out])
    np.testing.assert_array_equal(masks[:, 1], called.mean(1) >= 0.8)
    assert masks[np.arange(300) != 10, 2].tolist() == common[np.arange(300) != 10].tolist()
    assert qc["variants"]["variants"] == 300
    assert qc["variants"]["passed"] == masks[:, 0].sum() < 300
    kinds = allele_kinds(alleles)
    assert (qc["variants"]["ti"], qc["variants"]["tv"]) == ((kinds == "ti").sum(), 100)
    assert sum(qc["histograms"]["maf"]["counts"]) == 299
    first = np.array(qc["components"]["coordinates"][0])
    assert len(first) == 40
    assert (first[:20] > 0).all() != (first[20:] > 0).all()  # the populations fall apart
    assert qc["components"]["explained"][0] > 2 * qc["components"]["explained"][1]
    (section,) = VariantQc.sections("calls-qc", {"qc": qc})
    tiles = {one.metric.label: (one.value, one.note) for one in section.tiles}
    assert tiles["samples kept"] == ("40", "of 41")
    assert tiles["variants kept"] == (f"{qc['variants']['passed']}", "of 300")
    rows = {row["threshold"]: (row["value"], row["count"]) for row in section.tables[0].rows}
    assert rows["mind"] == ("0.3", 1)
    assert rows["maf"] == ("0.1", qc["refused"]["maf"])
    assert [one.title for one in section.figures] == [
        "Call rate of variants",
        "Allele frequencies",
        "Hardy-Weinberg: exact p-values",
        "Heterozygosity against call rate",
        "Ti/Tv of samples",
        f"Samples by {qc['components']['variants']:,} variants",
    ]
    shown(section)


def test_what_holds_no_calls_is_refused(make_dataset: Make) -> None:
    data = make_dataset("rows", [Sample("a", {}, {"features": np.zeros(3, np.float32)})])
    made = VariantQc(VariantQc.Options(), {}, {})
    with pytest.raises(DataError, match="no-calls"):
        list(made.apply(InShard(data.shards[0], 0)))


def test_cells(make_dataset: Make) -> None:
    generator = np.random.default_rng(0)
    rate = generator.gamma(2.0, 1.0, 300)
    rates = np.tile(rate, (60, 1))
    rates[:25, 3:33] *= 8
    counts = generator.poisson(rates).astype(np.float32)
    counts[50] = 0
    counts[51, 0] = 500  # mitochondrial
    counts[:, 299] = 0
    data = make_dataset(
        "cells", [Sample(f"c{n}", {"subject": "d"}, {"features": counts[n]}) for n in range(60)]
    )
    names = ["mt-ND1", *(f"G{n}" for n in range(1, 300))]
    options = ExpressionQc.Options(
        min_genes=5, max_marked=0.3, clusters=2, variable_genes=30, components=3
    )
    made = ExpressionQc(options, {}, {"features": {"features": names}})

    def every() -> Iterator[Sample]:
        for row in range(60):
            yield from (
                one for one in made.apply(InShard(data.shards[0], row)) if isinstance(one, Sample)
            )

    out = list(every())
    assert [one.row["library"] for one in out] == counts.sum(1).tolist()
    assert [one.id for one in out if not one.row["pass"]] == ["c50", "c51"]
    assert out[51].row["failed"] == ["max_marked"]
    qc = concluded(made, data, out)["qc"]
    assert qc["cells"] == {"cells": 60, "passed": 58}
    assert qc["genes"] == {"genes": 300, "kept": 299, "variable": 30}
    assert len({f"G{n}" for n in range(3, 33)} & set(qc["variable_genes"])) >= 12
    assert qc["groups"]["sizes"] == [33, 25]
    assert qc["groups"]["shown"] == [1] * 25 + [0] * 33
    assert sum(qc["histograms"]["genes"]["counts"]) == 60
    diagonal = [line[at] for at, line in enumerate(qc["correlation"]["values"])]
    assert diagonal == [1.0] * len(diagonal)
    assert "c50" not in json.dumps(qc)
    (section,) = ExpressionQc.sections("cells-qc", {"qc": qc})
    assert [tile.value for tile in section.tiles] == ["58", "299", "30", "2"]
    assert [one.kind for one in section.figures if isinstance(one, Figure)] == [
        *["histogram"] * 3, "scatter", "scatter", "heat"
    ]  # fmt: skip
    shown(section)
