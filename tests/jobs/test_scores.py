"""Scoring the variants of a VCF: every ALT once, in order, right, and never twice."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from medray.errors import MedrayError, SpecError
from medray.formats.genomics.alphabet import encode, reverse_complement
from medray.jobs.run import run
from medray.steps.variants.operation import Score, statistics_of
from medray.storage.catalog.datasets import open_dataset
from medray.storage.store.objects import Objects
from tests import callset


def inline(objects: Objects, *steps: dict[str, Any]):
    return run(list(steps), storage=objects, cluster="inline")


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many windows each range of sites cost."""
    made: list[int] = []
    plain = Score._scored

    def counted(self: Score, *arguments: Any) -> Any:
        before = self.passes
        table = plain(self, *arguments)
        made.append(self.passes - before)
        return table

    monkeypatch.setattr(Score, "_scored", counted)
    return made


@pytest.fixture
def ready(objects: Objects, tmp_path: Path) -> Objects:
    """A genome, sites and a network."""
    callset.save_network(objects)
    callset.write_vcf(tmp_path / "vcf" / "calls.vcf", callset.records())
    inline(objects, *callset.ingest_steps(tmp_path, tmp_path / "vcf"))
    return objects


def test_each_alt_has_the_score_of_its_windows(ready: Objects) -> None:
    done = inline(ready, callset.score_step(reverse_complement="average"))
    rows = open_dataset(ready, "scores").samples.to_pylist()
    lines = callset.records()
    sites = [tuple(line.split("\t")[:5]) for line in lines]
    assert [(r["contig"], str(r["pos"]), r["ref"], r["alt"]) for r in rows] == [
        (contig, pos, ref, one) for contig, pos, _, ref, alt in sites for one in alt.split(",")
    ]
    trained = callset.save_network(ready)
    letters = callset.contigs()
    seen = Counter(row["status"] for row in rows)
    for row in rows:
        scored = row["status"] in ("ok", "edge", "contains_n")
        assert (row["diff_yes"] is not None) == scored
        if not scored:
            continue
        contig = "N" * 40 + letters[f"chr{row['contig']}"] + "N" * 80
        at = row["pos"] - 1 + 40
        whole = contig[:at] + row["alt"] + contig[at + len(row["ref"]) :]
        pair = np.stack([encode(text[at - 20 : at + 20]) for text in (contig, whole)])
        with torch.inference_mode():
            answers = [
                trained.task.probabilities(trained.network(torch.from_numpy(tokens)))
                for tokens in (pair, reverse_complement(pair))
            ]
        reference, changed = torch.stack(answers).mean(0).numpy()
        assert row["diff_yes"] == pytest.approx(changed[1] - reference[1], abs=1e-5)
        assert row["l2"] == pytest.approx(np.linalg.norm(changed - reference), abs=1e-5)
    assert set(seen) == {"ok", "ref_mismatch", "contains_n", "edge", "symbolic"}
    metrics = done.steps[0].metrics
    assert metrics == {"variants": callset.alleles(lines), **seen}
    assert open_dataset(ready, "scores").attributes["variants"]["tracks"] == ["no", "yes"]


def test_a_position_costs_one_reference_window(ready: Objects, passes: list[int]) -> None:
    inline(ready, callset.score_step(unit=10_000))
    rows = open_dataset(ready, "scores").samples.to_pylist()
    scored = [row for row in rows if row["status"] in ("ok", "edge", "contains_n")]
    positions = {(row["contig"], row["pos"]) for row in scored}
    assert sum(passes) == len(scored) + len(positions)


def test_scored_again_costs_nothing(ready: Objects, passes: list[int]) -> None:
    first = inline(ready, callset.score_step())
    passes.clear()
    assert inline(ready, callset.score_step()).output == first.output
    assert passes == []
    again = inline(ready, callset.score_step(unit=37))  # cut otherwise: other units, same sites
    assert sum(passes) == 0
    assert len(passes) > 2
    assert _scores(ready, again.output) == _scores(ready, first.output)


def test_only_new_sites_are_computed(ready: Objects, tmp_path: Path, passes: list[int]) -> None:
    lines = callset.records()
    inline(ready, callset.score_step())
    before = {row["pos"]: row for row in open_dataset(ready, "scores").samples.to_pylist()}
    passes.clear()
    new = "1\t77\tnew\t{}\t{},{}\t.\t.\t.\tGT\t0/1\t./."
    ref = callset.contigs()["chr1"][76]
    others = [base for base in "ACGT" if base != ref]
    callset.write_vcf(
        tmp_path / "more" / "night.vcf.gz", [new.format(ref, *others[:2]), *lines[5:]]
    )
    step = callset.ingest_steps(tmp_path, tmp_path / "more")[1]
    inline(ready, step, callset.score_step())
    rows = open_dataset(ready, "scores").samples.to_pylist()
    assert len(rows) == callset.alleles(lines[5:]) + 2
    assert sum(passes) == 3, "one reference, two ALTs"
    for row in rows[2:]:
        if row["contig"] == "1" and before[row["pos"]]["alt"] == row["alt"]:
            assert row["diff_yes"] == before[row["pos"]]["diff_yes"]
    # Another model knows nothing of these.
    callset.save_network(ready, "net", filters=4)
    passes.clear()
    inline(ready, callset.score_step())
    assert sum(passes) > 100


@pytest.mark.parametrize("damaged", ["versions", "units", "shards"])
def test_damage_of_an_earlier_version_costs_its_scores_only(
    damaged: str, ready: Objects, passes: list[int]
) -> None:
    first = inline(ready, callset.score_step())
    wanted = _scores(ready, first.output)
    paths = [entry.path for entry in ready.walk(f"datasets/scores/{damaged}")]
    for path in paths:
        ready.put(path, b"damaged")
    passes.clear()
    again = inline(ready, callset.score_step(unit=37))
    assert sum(passes) > 100
    assert _scores(ready, again.output) == wanted


def test_a_network_that_answers_nan(ready: Objects, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Score._answer

    def broken(self: Score, tokens: torch.Tensor) -> torch.Tensor:
        answers = plain(self, tokens).clone()
        answers[(tokens[:, 20] == 2).cpu()] = float("nan")  # G at the variant's place
        return answers

    monkeypatch.setattr(Score, "_answer", broken)
    inline(ready, callset.score_step())
    for row in open_dataset(ready, "scores").samples.to_pylist():
        strange = "G" in (row["ref"][0], row["alt"][0])
        if row["status"] in ("ok", "nan"):
            assert (row["status"] == "nan") == strange
        if row["status"] == "nan":
            assert row["l2"] is None


def test_statistics() -> None:
    reference = np.array([[0.25, 0.5], [0.0, -1.0]], np.float32)
    changed = np.array([[0.5, 0.25], [0.5, 1.0]], np.float32)
    made = statistics_of(["diff", "log2fc", "l2", "alt"], reference, changed)
    assert made[0].tolist() == pytest.approx([0.25, -0.25, 1, -1, 0.25 * 2**0.5, 0.5, 0.25])
    assert made[1, 2] == pytest.approx(np.log2(0.5 / 1e-6))
    assert np.isnan(made[1, 3])


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"genome": "sites"}, "no-genome"),
        ({"tracks": ["maybe"]}, "no-such-track"),
    ],
)
def test_what_does_not_fit_is_refused(ready: Objects, change: dict[str, Any], code: str) -> None:
    with pytest.raises(SpecError, match=code):
        inline(ready, callset.score_step(**change))


def test_a_contig_that_the_genome_lacks_ends_the_run(ready: Objects, tmp_path: Path) -> None:
    callset.write_vcf(tmp_path / "odd" / "a.vcf", ["GL000191.1\t5\t.\tA\tC\t.\t.\t.\tGT\t0/1\t./."])
    step = callset.ingest_steps(tmp_path, tmp_path / "odd")[1]
    with pytest.raises(MedrayError, match="unknown-contig"):
        inline(ready, step, callset.score_step())


def _scores(objects: Objects, reference: str) -> list[dict[str, Any]]:
    table = open_dataset(objects, reference).samples
    return table.drop_columns(["_shard", "_row"]).to_pylist()
