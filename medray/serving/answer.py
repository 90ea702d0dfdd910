"""Samples to answers: what a trained model says of a request, as bytes."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np

from medray.errors import DataError, MedrayError, RetryableError
from medray.formats.image.raster import encode_png
from medray.formats.nifti.volume import encode
from medray.log import event
from medray.serving import decode as media
from medray.serving.arrow import write_rows
from medray.serving.decode import Upload, decode
from medray.storage.shards.samples import Sample
from medray.storage.shards.stored import InMemory, whole

if TYPE_CHECKING:
    from medray.modalities.image.predictor import ImagePredictor

DENSE = (media.NPY, media.NIFTI, media.PNG, media.JSON, media.ARROW)


@dataclass(frozen=True)
class Reply:
    """What goes back to who asked.

    Args:
        status: of HTTP.
        media: type of the body.
        body: its bytes.
        headers: besides.
    """

    status: int
    media: str
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Question:
    """A prepared request.

    Args:
        samples: as `Predictor.prepare` made them.
        affines: of the samples, where they have one.
        media: of the answer.
        outputs: "labels" or "probabilities".
    """

    samples: list[Sample]
    affines: list[Any]
    media: str
    outputs: str


class Answerer:
    """Answers requests by one model; one for each thread that computes.

    Args:
        predictor: the model, and how it is to answer.
    """

    def __init__(self, predictor: "ImagePredictor") -> None:
        self._predictor = predictor
        self._reference = predictor.trained.reference

    @property
    def dense(self) -> bool:
        """Whether answers are masks."""
        return self._predictor.trained.task.answers == "place"

    def read(self, upload: Upload, accept: str = "", outputs: str = "labels") -> Question:
        """Decode and prepare a request: all that needs no network.

        Args:
            upload: its body.
            accept: media types that may be answered, as HTTP has it; empty: any.
            outputs: of dense tasks, "labels" or "probabilities".

        Raises:
            DataError: the body is unusable; see `failure` for what becomes of it.
        """
        if outputs not in ("labels", "probabilities"):
            raise DataError(f"outputs={outputs[:20]!r}", code="bad-outputs")
        kind = self._media(upload.media, accept)
        samples = decode(upload)
        prepared = [self._predictor.prepare(InMemory(one), len(samples)) for one in samples]
        return Question(prepared, [one.row.get("affine") for one in samples], kind, outputs)

    def compute(self, samples: Sequence[Sample], outputs: str = "labels") -> list[Sample]:
        """Predictions for prepared samples, arrays whole."""
        predictor = self._predictor.giving(outputs)
        made = []
        for start in range(0, len(samples), predictor.batch):
            for sample in predictor.compute(samples[start : start + predictor.batch]):
                arrays: dict[str, Any] = {k: whole(v) for k, v in sample.arrays.items()}
                made.append(Sample(sample.id, sample.row, arrays))
        return made

    def write(self, question: Question, answers: Sequence[Sample]) -> Reply:
        """The answer in the media type that was asked for."""
        headers = {"medray-model": self._reference}
        if question.media == media.ARROW:
            rows = [self._row(one) for one in answers]
            return Reply(200, media.ARROW, write_rows(rows), headers)
        (answer,) = answers
        if not self.dense:
            body = {"model": self._reference, **_decided(answer)}
            return Reply(200, media.JSON, json.dumps(body).encode(), headers)
        (values,) = answer.arrays.values()
        return Reply(200, question.media, self._encode(question, np.asarray(values)), headers)

    def _encode(self, question: Question, values: np.ndarray) -> bytes:
        if question.media == media.NIFTI:
            affine = question.affines[0]
            if affine is None:
                raise DataError("the image has no affine", code="no-affine")
            return encode(values, np.reshape(affine, (4, 4)))
        if question.media == media.PNG:
            return encode_png(values)
        if question.media == media.JSON:
            name = "label" if question.outputs == "labels" else "probability"
            return json.dumps({"model": self._reference, name: values.tolist()}).encode()
        buffer = BytesIO()
        np.save(buffer, np.ascontiguousarray(values), allow_pickle=False)
        return buffer.getvalue()

    def _row(self, answer: Sample) -> dict[str, Any]:
        row = {"sample_id": answer.id, "model": self._reference}
        if not self.dense:
            return {**row, **_decided(answer)}
        ((name, values),) = answer.arrays.items()
        values = np.ascontiguousarray(values)
        return {**row, name: values.tobytes(), "shape": values.shape, "dtype": str(values.dtype)}

    def _media(self, asked: str, accept: str) -> str:
        """What to answer with: the first that is accepted, in our order of preference."""
        own = asked if asked in (media.NIFTI, media.JSON, media.ARROW) else media.NPY
        if asked == media.ARROW:
            offered: tuple[str, ...] = (media.ARROW,)
        else:
            offered = (own, *DENSE[:-1]) if self.dense else (media.JSON,)
        wanted = [part.partition(";")[0].strip() for part in accept.split(",") if part.strip()]
        for one in offered:
            if not wanted or {one, "*/*", one.partition("/")[0] + "/*"} & set(wanted):
                return one
        raise DataError(
            "none of the accepted media types can be answered",
            code="not-acceptable",
            hint=f"offered: {', '.join(dict.fromkeys(offered))}",
        )


def failure(error: BaseException) -> Reply:
    """The reply for a request that went wrong: what HTTP calls it, the code, and the way out.

    Of what was not foreseen only the type is said: the text of a library's error may quote the
    image.
    """
    if not isinstance(error, MedrayError):
        if isinstance(error, MemoryError) or "allocate memory" in str(error):
            error = DataError("needs more memory than the replica has", code="out-of-memory")
        else:
            event("unexpected", level=30, exception=type(error).__name__)
            return refuse(500, "unexpected-error", type(error).__name__)
    return refuse(_status(error), error.code, error.message, error.hint)


def refuse(status: int, code: str, message: str, hint: str = "") -> Reply:
    """A reply that says no, as JSON."""
    body = {"error": {"code": code, "message": message, "hint": hint}}
    reply = Reply(status, media.JSON, json.dumps(body).encode())
    # A second: a batch is over by then, or a replica that died has been replaced by another.
    return replace(reply, headers={"Retry-After": "1"}) if status == 503 else reply


def _status(error: MedrayError) -> int:
    if isinstance(error, RetryableError):
        return 503
    if not isinstance(error, DataError):
        return 500
    if error.code in media.TOO_LARGE or error.code == "out-of-memory":
        return 413
    return _STATUS.get(error.code, 422)


_STATUS = {
    "unsupported-media": 415,
    "not-acceptable": 406,
    "no-such-model": 404,
    "no-such-job": 404,
}


def _decided(answer: Sample) -> dict[str, Any]:
    return {name: answer.row[name] for name in ("probability", "predicted") if name in answer.row}
