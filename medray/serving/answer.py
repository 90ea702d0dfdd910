"""Requests to answers: what a model says of a body, by its modality's wire."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from pydantic import TypeAdapter

from medray.errors import DataError
from medray.modalities.base import Answering, Asking, Modality
from medray.modalities.plan import PredictOptions
from medray.modalities.wire import Answer, Asked, Limits, Wire
from medray.serving.replies import Reply
from medray.spec.check import check
from medray.spec.serving import Serving
from medray.storage.shards.samples import Sample
from medray.storage.shards.stored import InMemory, whole

if TYPE_CHECKING:
    from medray.modalities.loaded import LoadedModel


@dataclass(frozen=True)
class Question:
    """A prepared request.

    Args:
        samples: as `Predictor.prepare` made them.
        rows: of the samples, as they were asked.
        many: whether the answer is a list.
        media: of the answer.
        outputs: "", or what is asked for beside what the endpoint is set to.
    """

    samples: list[Sample]
    rows: list[dict[str, Any]] = field(repr=False)
    many: bool
    media: str
    outputs: str


class Answerer:
    """Answers requests by one model; one for each thread that computes.

    Args:
        predictor: the model, and how it is to answer.
        wire: of its modality, for this model.
        reference: of the model.
        limits: of a request.
    """

    def __init__(self, predictor: Answering, wire: Wire, reference: str, limits: Limits) -> None:
        self._predictor, self._wire, self._reference = predictor, wire, reference
        self._limits = limits

    @property
    def short(self) -> bool:
        """See Predictor."""
        return self._predictor.short

    def read(self, body: bytes, media: str, accept: str = "", outputs: str = "") -> Question:
        """Decode and prepare a request: all that needs no network.

        Args:
            body: of the request.
            media: its type, without parameters.
            accept: media types that may be answered, as HTTP has it; empty: any.
            outputs: one of the wire's; empty: as the endpoint is set to.

        Raises:
            DataError: the body is unusable; see `failure` for what becomes of it.
        """
        wire = self._wire
        if outputs and outputs not in wire.outputs:
            hint = f"one of {', '.join(wire.outputs)}" if wire.outputs else "there is no choice"
            raise DataError("such outputs are not given", code="bad-outputs", hint=hint)
        if media not in wire.takes:
            raise DataError(
                "no reader for this media type",
                code="unsupported-media",
                hint=f"one of {', '.join(wire.takes)}",
            )
        kind = _chosen(wire.gives(media), accept)
        asked: Asked = wire.read(body, media, self._limits)
        count = len(asked.samples)
        predictor = self._predictor.giving(outputs) if outputs else self._predictor
        prepared = [predictor.prepare(InMemory(one), count) for one in asked.samples]
        return Question(prepared, [one.row for one in asked.samples], asked.many, kind, outputs)

    def compute(self, samples: Sequence[Sample], outputs: str = "") -> list[Sample]:
        """Predictions for prepared samples, arrays whole."""
        predictor = self._predictor.giving(outputs) if outputs else self._predictor
        made = []
        for start in range(0, len(samples), predictor.batch):
            for sample in predictor.compute(samples[start : start + predictor.batch]):
                arrays: dict[str, Any] = {k: whole(v) for k, v in sample.arrays.items()}
                made.append(Sample(sample.id, sample.row, arrays))
        return made

    def write(self, question: Question, made: Sequence[Sample]) -> Reply:
        """The answer in the media type that was asked for."""
        answers = [
            Answer(one.id, row, _new(one, before), {k: whole(v) for k, v in one.arrays.items()})
            for one, before, row in zip(made, question.samples, question.rows, strict=True)
        ]
        body = self._wire.write(self._reference, answers, question.media, many=question.many)
        return Reply(200, question.media, body, {"medray-model": self._reference})


def _new(made: Sample, before: Sample) -> dict[str, Any]:
    """What the model has added to the row."""
    return {name: value for name, value in made.row.items() if name not in before.row}


def _chosen(offered: Sequence[str], accept: str) -> str:
    """The first media type that is accepted, in our order of preference."""
    wanted = [part.partition(";")[0].strip() for part in accept.split(",") if part.strip()]
    for one in offered:
        if not wanted or {one, "*/*", one.partition("/")[0] + "/*"} & set(wanted):
            return one
    raise DataError(
        "none of the accepted media types can be answered",
        code="not-acceptable",
        hint=f"offered: {', '.join(offered)}",
    )


def answerer_of(
    model: "LoadedModel", serving: Serving, coarse: "LoadedModel | None" = None
) -> Answerer:
    """How an endpoint answers by a model.

    Args:
        model: that answers.
        serving: of the endpoint.
        coarse: the model whose masks guide it, where one is named.

    Raises:
        SpecError: as `predict_options`, or its folds have no mean (code "folds-of-masks").
    """
    first = next(iter(model.members.values()))
    wire = first.modality.wire(first.plan.model_dump(mode="json"))
    predictor = _predictor(model, serving)
    if coarse is not None:
        predictor = first.modality.cascaded(predictor, _predictor(coarse, serving))
    return Answerer(predictor, wire, model.package.reference, Limits(serving.decoded_bytes))


def _predictor(model: "LoadedModel", serving: Serving) -> Answering:
    from medray.modalities.folds import predictor_of

    modality = next(iter(model.members.values())).modality
    options = predict_options(modality, serving, model.package.name)
    asking = Asking(options, serving.precision, serving.batch)
    return cast("Answering", predictor_of(model, asking))


def predict_options(modality: Modality, serving: Serving, name: str) -> PredictOptions:
    """The modality's options for a model: what the endpoint says, and the defaults.

    Raises:
        SpecError: there is none of that name, or a value is wrong (code "bad-field").
    """
    adapter = TypeAdapter(modality.PredictOptions)
    said = serving.options.get(name, {})
    return check(adapter, said, lambda *at: ".".join(map(str, ("options", name, *at))))
