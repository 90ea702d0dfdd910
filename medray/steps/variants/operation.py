"""Score: what each ALT of a table of sites changes in a sequence model's answer."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from medray.engine.units.operation import Operation, Unit
from medray.errors import SpecError
from medray.log import event
from medray.modalities import MODALITIES, read_plan
from medray.modalities.ask import forward
from medray.modalities.base import Trained
from medray.modalities.loaded import LoadedModel, load_trained
from medray.models.sequence.tokens import reverse_complement
from medray.steps.variants.genome import Genome
from medray.steps.variants.reuse import KnownScores
from medray.steps.variants.windows import NAN, STATUSES, Alleles, Stretch, VariantWindows, reach
from medray.storage.catalog.datasets import open_dataset
from medray.storage.shards.reader import selected
from medray.storage.shards.records import Pinned, Refusal
from medray.storage.shards.rows import Rows
from medray.storage.shards.samples import Sample
from medray.storage.store.objects import Objects

SITE = ("contig", "pos", "ref", "alt")
CARRIED = ("sample_id", "file", "partition", "line", *SITE, "alt_index", "n_alts", "kind")
LEAST = 1e-6  # below it a probability counts as this, in a logarithm


@dataclass(frozen=True)
class Loaded:
    """A range of sites, read ahead.

    Args:
        sites: a row per ALT.
        known: row in `scores` of each site that was scored before, -1 for others, int64 (n,).
        scores: rows of earlier versions.
        pieces: rows of the sites that are new, by contig, and the stretch that they lie on.
    """

    sites: pa.Table
    known: np.ndarray
    scores: pa.Table
    pieces: list[tuple[np.ndarray, int, Stretch]] = field(default_factory=list)


class Score(Operation):
    """Runs a sequence model over windows of REF and of ALT, and compares.

    The reference window of a position is computed once in a unit, whatever stands there in how many
    records. Batches are filled up, so that an answer does not depend on how many share its batch.

    Parameters: `model` and `genome` (references), `window` (bases), `statistics`, `tracks`,
    `reverse_complement`, `batch`, `precision`, `known` (earlier versions of the output, made in the
    same way), `where` (see medray.storage.shards.reader.selected).
    Payload of a unit: `shard`, `start`, `stop`: rows of a table of sites.
    Output samples: a row per ALT, in order: the site, `ref_match`, `contains_n`, `status` (see
    `windows`; "nan": the network's answer is not finite), and float32 columns, one for
    each statistic and track, null where the status is not ok, edge or contains_n.
    """

    name: ClassVar[str] = "score"
    device: ClassVar[bool] = True

    def __init__(self, objects: Objects, parameters: dict[str, Any]) -> None:
        super().__init__(objects, parameters)
        self.passes = 0  # windows that went through the network

    def open(self) -> None:
        """Load the network and look up the contigs, once for all units."""
        _ = self._trained, self._genome, self._chosen

    @cached_property
    def _trained(self) -> Trained:
        return load_trained(self.objects, self.parameters["model"])

    def adopt(self, model: LoadedModel) -> None:
        """Use a model that is loaded already; the caller vouches that it is the one named."""
        self._trained = model.only

    @cached_property
    def _genome(self) -> Genome:
        return Genome(open_dataset(self.objects, self.parameters["genome"]))

    @cached_property
    def _known(self) -> KnownScores:
        return KnownScores(self.objects, self.parameters["known"], self.columns)

    @cached_property
    def _chosen(self) -> list[int]:
        """Output channels of the tracks that are scored."""
        names = self._trained.plan.classes
        return [names.index(track) for track in self.parameters["tracks"]]

    @property
    def columns(self) -> list[str]:
        """Names of the statistics' columns."""
        return columns_of(self.parameters["statistics"], self.parameters["tracks"])

    def load(self, unit: Unit, key: str) -> Iterator[Sample | Refusal]:
        """The range of sites, what is known of them, and the stretches that the others need.

        Raises:
            SpecError: a site lies on no contig of the genome (code "unknown-contig").
        """
        payload = unit.payload
        sites = selected(
            self.objects,
            Pinned(*payload["shard"]),
            payload["start"],
            payload["stop"],
            self.parameters["where"],
        )
        sites = sites.select([name for name in CARRIED if name in sites.column_names])
        known, scores = self._known.find(sites)
        loaded = Loaded(sites, known, scores)
        positions = sites["pos"].to_numpy().astype(np.int64)
        new = np.flatnonzero(known < 0)
        contigs = sites["contig"].combine_chunks().dictionary_encode()
        codes = contigs.indices.to_numpy(zero_copy_only=False)
        for number, name in enumerate(contigs.dictionary.to_pylist()):
            contig = self._genome.find(name)
            rows = new[codes[new] == number]
            if len(rows):
                ref = Alleles.of(sites["ref"].take(rows))
                low, high = reach(positions[rows] - contig.offset, ref, self._length)
                # A position that no contig has must not cost memory: it is a mismatch anyway.
                low, high = max(low, -self._length), min(high, contig.length + self._length)
                stretch = self._genome.stretch(contig, low, high)
                loaded.pieces.append((rows, contig.offset, stretch))
        yield Sample(key, {"loaded": loaded})

    @property
    def _length(self) -> int:
        return int(self.parameters["window"])

    def compute(self, samples: Sequence[Sample]) -> Iterator[Sample | Rows]:
        """One row for each site."""
        for sample in samples:
            yield Rows(self._scored(sample.id, sample.row["loaded"]))

    def _scored(self, key: str, loaded: Loaded) -> pa.Table:
        count, before = loaded.sites.num_rows, self.passes
        status, flags = np.zeros(count, np.uint8), np.zeros((2, count), bool)
        values = np.full((len(self.columns), count), np.nan, np.float32)
        for rows, offset, stretch in loaded.pieces:
            some = loaded.sites.take(rows)
            windows = VariantWindows(
                stretch,
                some["pos"].to_numpy().astype(np.int64) - offset,
                Alleles.of(some["ref"]),
                Alleles.of(some["alt"]),
                self._length,
            )
            status[rows], flags[:, rows] = windows.status, (windows.ref_match, windows.contains_n)
            reference = self._answers(windows.reference, len(windows.references))
            changed = self._answers(windows.alternative, len(windows.scored))
            made = statistics_of(
                self.parameters["statistics"], reference[windows.reference_of], changed
            )
            where = rows[windows.scored]
            values[:, where] = made.T
            status[where[~np.isfinite(changed).all(1)]] = NAN
            status[where[~np.isfinite(reference[windows.reference_of]).all(1)]] = NAN
        values[:, status == NAN] = np.nan
        new = [
            ("ref_match", pa.array(flags[0])),
            ("contains_n", pa.array(flags[1])),
            ("status", pa.array(np.array(STATUSES)[status], pa.string())),
            *(
                (n, pa.array(v, from_pandas=True))
                for n, v in zip(self.columns, values, strict=True)
            ),
        ]
        table = loaded.sites
        for name, column in new:
            table = table.append_column(name, _merged(column, loaded, name))
        event(
            "scored",
            input=key,
            variants=count,
            known=int((loaded.known >= 0).sum()),
            passes=self.passes - before,
        )
        return table

    def _answers(self, windows: Callable[[slice], np.ndarray], count: int) -> np.ndarray:
        """What the task makes of the network's answers, float32 (count, tracks)."""
        batch, found = int(self.parameters["batch"]), []
        for start in range(0, count, batch):
            tokens = windows(slice(start, min(start + batch, count)))
            self.passes += len(tokens)
            missing = batch - len(tokens)
            if missing:
                tokens = np.concatenate([tokens, np.repeat(tokens[-1:], missing, 0)])
            found.append(self._answer(torch.from_numpy(tokens))[: batch - missing])
        if not found:
            return np.empty((0, len(self._chosen)), np.float32)
        # One transfer for all: the device is not waited for between batches.
        return torch.cat(found).cpu().numpy()

    def _answer(self, tokens: Tensor) -> Tensor:
        trained, strands = self._trained, self.parameters["reverse_complement"]
        if trained.device.type == "cuda":
            tokens = tokens.pin_memory()
        tokens = tokens.to(trained.device, non_blocking=True)
        turned = [] if strands == "forward" else [reverse_complement(tokens)]
        seen = turned if strands == "reverse" else [tokens, *turned]
        answers = []
        for one in seen:
            logits = forward(trained.network, one, self.parameters["precision"])
            answer = trained.task.probabilities(logits.float())
            answers.append(answer.flatten(2).mean(2) if answer.ndim > 2 else answer)
        return torch.stack(answers).mean(0)[:, self._chosen]


def columns_of(statistics: Sequence[str], tracks: Sequence[str]) -> list[str]:
    """Names of the columns that statistics of tracks make."""
    return [
        name
        for statistic in statistics
        for name in (["l2"] if statistic == "l2" else [f"{statistic}_{track}" for track in tracks])
    ]


def statistics_of(
    statistics: Sequence[str], reference: np.ndarray, changed: np.ndarray
) -> np.ndarray:
    """Statistics of answers to REF and to ALT, float32 (n, columns); see `columns_of`.

    diff is ALT - REF, log2fc the logarithm of their ratio (values below 1e-6 count as that, below
    0 they have none), l2 the Euclidean distance over the tracks, ref and alt the answers.

    Args:
        statistics: names, in order.
        reference: answers to REF, float32 (n, tracks).
        changed: answers to ALT, float32 (n, tracks).
    """

    def logarithm(values: np.ndarray) -> np.ndarray:
        return np.log2(np.maximum(np.where(values < 0, np.nan, values), LEAST))

    made: dict[str, Callable[[], np.ndarray]] = {
        "diff": lambda: changed - reference,
        "log2fc": lambda: logarithm(changed) - logarithm(reference),
        "l2": lambda: np.sqrt(((changed - reference) ** 2).sum(1, keepdims=True)),
        "ref": lambda: reference,
        "alt": lambda: changed,
    }
    return np.concatenate([made[name]() for name in statistics], 1).astype(np.float32)


def tracks_of(plan: dict[str, Any], wanted: Sequence[str] | None, about: str) -> list[str]:
    """The names of a model's outputs that are to be scored.

    Args:
        plan: of the model, as its package holds it.
        wanted: None for all of them.
        about: the model, for errors.

    Raises:
        SpecError: the model takes no sequences ("model-mismatch"), or has no such output
            ("no-such-track").
    """
    if "base" not in MODALITIES.get(plan["modality"]).extends:
        raise SpecError(
            "variants are scored by a model of sequences",
            code="model-mismatch",
            about=about,
            hint=f"this one takes samples of kind {plan['modality']!r}",
        )
    names = list(read_plan(plan).classes)
    strange = [track for track in wanted or () if track not in names]
    if strange:
        raise SpecError(
            f"the model has no output {strange[0]!r}",
            code="no-such-track",
            about=about,
            hint=f"it has {', '.join(names)}",
        )
    return list(wanted) if wanted is not None else names


def _merged(column: pa.Array, loaded: Loaded, name: str) -> pa.Array:
    """The column with earlier values where they are known."""
    if not loaded.scores.num_rows:
        return column
    earlier = loaded.scores[name].combine_chunks().cast(column.type)
    both = pa.concat_arrays([column, earlier])
    own = np.arange(len(column))
    return both.take(pa.array(np.where(loaded.known < 0, own, loaded.known + len(column))))
