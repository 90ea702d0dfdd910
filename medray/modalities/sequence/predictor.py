"""How a model of sequences answers: a row each, an array of its bases, or why."""

from collections.abc import Sequence
from typing import cast

import numpy as np
import pyarrow as pa
import torch

from medray.errors import DataError
from medray.modalities.ask import ask
from medray.modalities.base import Answering
from medray.modalities.sequence.cases import tokens_of
from medray.modalities.sequence.explain import attribute
from medray.modalities.sequence.plan import HOW, Align, SequencePlan
from medray.storage.shards.samples import Sample
from medray.storage.shards.schema import Arrays, ArraySpec, Axis
from medray.storage.shards.stored import Stored

SHORT = 2**16  # values of an answer at most, for it to be short: 1.3 MB of JSON


class SequencePredictor(Answering):
    """How a model of sequences answers."""

    @property
    def arrays(self) -> Arrays:
        """Probabilities of a task per base, or attributions."""
        base = Axis("base", "base", "base")
        probability, track = (ArraySpec((Axis(n), base), ("float32",)) for n in ("class", "track"))
        return {"probability": probability, "track": track}

    @property
    def short(self) -> bool:
        """See Predictor: of each base there is not much to say, unless there are many."""
        values = len(self.plan.classes) * self.plan.length
        return self.trained.task.answers == "sample" or values <= SHORT

    @property
    def plan(self) -> SequencePlan:
        """Of the model's training."""
        return cast("SequencePlan", self.trained.plan)

    def prepare(self, stored: Stored, together: int) -> Sample:
        """The sample's row with its tokens uint8 (length,) as array `tokens`."""
        text = stored.row.get("sequence")
        if text is None:
            raise DataError(
                "the sample holds no sequence",
                code="model-mismatch",
                hint="select samples like those the model was trained on",
            )
        row = {name: value for name, value in stored.row.items() if name != "sequence"}
        tokens = tokens_of(pa.chunked_array([[text]]), self.plan.length, self.plan.align)[0]
        return Sample(stored.id, row | {"bases": len(text)}, {"tokens": tokens})

    def answers(self, samples: Sequence[Sample]) -> np.ndarray:
        """See Answering."""
        trained = self.trained
        return ask(trained.network, self._inputs(samples), trained.task, self.asked.precision)

    def behind(self, samples: Sequence[Sample], answers: np.ndarray) -> np.ndarray:
        """See Answering: attributions of the largest answer, (B, tracks * L)."""
        how = self.asked.options.outputs
        if how not in HOW:
            return super().behind(samples, answers)
        chosen = torch.from_numpy(answers.argmax(1)).to(self.trained.device)
        made = attribute(self.trained.network, self._inputs(samples), how, chosen)
        return made.reshape(len(made), -1)

    def _inputs(self, samples: Sequence[Sample]) -> torch.Tensor:
        """Tokens, uint8 (B, L)."""
        tokens = np.stack([np.asarray(sample.arrays["tokens"]) for sample in samples])
        return torch.from_numpy(tokens).to(self.trained.device)

    def finish(self, sample: Sample, answer: np.ndarray) -> Sample:
        """See Answering. A task per base makes the array `probability`, float32 (classes, L),
        attributions `track`, float32 (tracks, L); the format `bed` writes both."""
        how = self.asked.options.outputs
        explained = how in HOW
        if self.trained.task.answers == "sample" and not explained:
            return super().finish(sample, answer)
        names = _tracks(how) if explained else list(self.plan.classes)
        if explained:
            answer = answer[-len(names) * self.plan.length :].reshape(len(names), -1)
        bases = min(int(sample.row["bases"]), self.plan.length)
        inside = _inside(bases, self.plan.length, self.plan.align)
        made = np.ascontiguousarray(answer[:, inside])
        first = int(sample.row.get("start", 0)) - int(sample.row.get("offset", 0))
        place = {"bin_bases": 1, "offset": first, "names": names}
        return Sample(
            sample.id,
            {"contig": sample.id, **sample.row, **place},
            {"track" if explained else "probability": made},
        )


def _tracks(how: str) -> list[str]:
    return list("ACGT") if how == "mutagenesis" else ["importance"]


def _inside(bases: int, length: int, align: Align) -> slice:
    """Where a sequence's own bases are among the network's tokens."""
    before = {"left": 0, "centre": (length - bases) // 2, "right": length - bases}[align]
    return slice(before, before + bases)
