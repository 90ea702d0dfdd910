"""Models, pictures and a client for the tests of serving."""

import http.client
import io
import json
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from PIL import Image
from safetensors.torch import save

from medray.modalities import modality_of
from medray.modalities.image.normalise import ChannelNorm
from medray.modalities.image.plan import ImagePlan
from medray.modalities.loaded import load_model
from medray.modalities.plan import Plan
from medray.modalities.sequence.plan import SequencePlan
from medray.modalities.signal.plan import SignalPlan
from medray.modalities.table.plan import ColumnPlan, TablePlan
from medray.modalities.text.plan import TextPlan
from medray.models import MODELS
from medray.serving.answer import answerer_of
from medray.serving.replies import Reply, failure
from medray.spec.serving import Serving
from medray.storage.catalog.models import save_model
from medray.storage.store.objects import Objects

CNN = {"name": "cnn", "dims": 2, "features": [4, 8]}
UNET = {"name": "unet", "dims": 3, "features": [4, 8]}
IMAGES = {"name": "classification", "classes": ["normal", "pneumonia"]}
MASKS = {"name": "segmentation", "classes": ["background", "lesion"]}


def commit_model(
    objects: Objects,
    name: str,
    network: dict[str, Any] = CNN,
    task: dict[str, Any] = IMAGES,
    patch: Sequence[int] = (28, 28),
    channels: int = 1,
) -> str:
    """Commit a model with random weights; its reference."""
    torch.manual_seed(11)
    kind = MODELS.get(network["name"])
    options = {key: value for key, value in network.items() if key != "name"}
    net = kind.build(kind.Options.model_validate(options), channels, 2, tuple(patch)).eval()
    plan = ImagePlan(
        dims=len(patch),
        in_channels=channels,
        answers="place" if task == MASKS else "sample",
        classes=tuple(task["classes"]),
        spacing_mm=None,
        patch=tuple(patch),
        batch_size=2,
        channels=(ChannelNorm(scheme="zscore"),) * channels,
        pool_steps=(),
        frequencies=(0.5, 0.5),
        median_shape=tuple(patch),
        samples=1,
        mirror_axes=(len(patch) - 1,),
    )
    made = save_model(
        objects,
        name,
        weights=save(net.state_dict()),
        config={"model": network, "task": task, "plan": plan.model_dump(mode="json")},
        metrics={},
        parents=[],
        spec="",
        card="",
    )
    return made.reference


DNA = {"name": "seq_cnn", "filters": 6, "kernels": [5], "dense": 4}
GENES = {"name": "lstm", "hidden": 6}


def commit_dna(
    objects: Objects,
    name: str,
    *,
    folds: int = 0,
    per_base: bool = False,
    length: int = 20,
    model: dict[str, Any] | None = None,
) -> str:
    """A model of sequences of up to `length` bases, of one network or of so many folds."""
    model = model or (GENES if per_base else DNA)
    kind = "tagging" if per_base else "classification"
    plan = SequencePlan(
        answers="place" if per_base else "sample",
        classes=("no", "yes"),
        batch_size=8,
        frequencies=(0.5, 0.5),
        samples=8,
        length=length,
    )
    return _commit(objects, name, model, {"name": kind, "classes": ["no", "yes"]}, plan, folds)


def commit_table(objects: Objects, name: str, widths: dict[str, int], folds: int = 0) -> str:
    """A model of so many features of each modality."""
    model = {"name": "fusion", "join": "early", "hidden": [5]}
    columns = {
        key: ColumnPlan(median=(0.5,) * n, mean=(0.25,) * n, std=(2.0,) * n)
        for key, n in widths.items()
    }
    plan = TablePlan(
        answers="sample",
        classes=("no", "yes"),
        batch_size=8,
        frequencies=(0.5, 0.5),
        samples=8,
        columns=columns,
    )
    task = {"name": "classification", "classes": ["no", "yes"]}
    return _commit(objects, name, model, task, plan, folds)


def commit_beats(objects: Objects, name: str, folds: int = 0) -> str:
    """A model of beats of two leads and 20 samples, with their context and two numbers."""
    model = {"name": "resnet1d", "features": [4, 6], "kernel": 3}
    plan = SignalPlan(
        answers="sample",
        classes=("no", "yes"),
        batch_size=8,
        frequencies=(0.5, 0.5),
        samples=8,
        rate=125.0,
        length=20,
        leads=("MLII", "V1"),
        context=True,
        scale="record",
        columns=("rr_prev_s / rr_median_s", "rr_next_s"),
        column_mean=(1.0, 0.8),
        column_std=(0.2, 0.3),
    )
    task = {"name": "classification", "classes": ["no", "yes"]}
    return _commit(objects, name, model, task, plan, folds)


def commit_ner(objects: Objects, name: str) -> str:
    """A model that marks stretches of texts, which random weights choose."""
    plan = TextPlan(
        answers="spans",
        classes=("O", "B-DRUG", "I-DRUG"),
        batch_size=4,
        frequencies=(6.0,),
        samples=8,
        column="text",
        words=("raises", "and"),
        letters="aeinrst",
        longest=None,
        reads=("characters",),
    )
    task = {"name": "ner", "types": ["DRUG"]}
    return _commit(objects, name, {"name": "bilstm-crf", "hidden": 6}, task, plan, 0)


def _commit(
    objects: Objects,
    name: str,
    model: dict[str, Any],
    task: dict[str, Any],
    plan: Plan,
    folds: int,
) -> str:
    document = plan.model_dump(mode="json")
    config: dict[str, Any] = {"model": model, "task": task}
    weights: dict[str, torch.Tensor] = {}
    for at in range(max(1, folds)):
        torch.manual_seed(7 + at)
        network = modality_of(model).build(model, plan)
        prefix = f"{at}." if folds else ""
        weights |= {prefix + key: value for key, value in network.state_dict().items()}
    members = [{"value": at, "plan": document} for at in range(folds)]
    config |= {"folds": {"column": "fold", "members": members}} if folds else {"plan": document}
    made = save_model(
        objects,
        name,
        weights=save(weights),
        config=config,
        metrics={},
        parents=["learnt@1"],
        spec=name,
        card="",
    )
    return made.reference


def ask(objects: Objects, model: str, body: bytes, kind: str, **asked: str) -> Reply:
    """Of an answerer, without a server."""
    answerer = answerer_of(load_model(objects, model), Serving(models=(model,), batch=4))
    try:
        question = answerer.read(body, kind, **asked)
        return answerer.write(question, answerer.compute(question.samples, question.outputs))
    except Exception as error:  # noqa: BLE001
        return failure(error)


def arrow(columns: dict[str, Any]) -> bytes:
    """A stream of one batch."""
    table = pa.table(columns)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as out:
        out.write_table(table)
    data: bytes = sink.getvalue().to_pybytes()
    return data


def rows_of(body: bytes) -> list[dict[str, Any]]:
    """Of an answer in Arrow."""
    rows: list[dict[str, Any]] = pa.ipc.open_stream(body).read_all().to_pylist()
    return rows


def pixels(seed: int, shape: tuple[int, ...] = (40, 36)) -> np.ndarray:
    """A picture of its own for each seed."""
    return np.random.default_rng(seed).integers(0, 255, shape).astype(np.uint8)


def png(values: np.ndarray) -> bytes:
    """Of (Y, X) or (Y, X, 3) values."""
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, "PNG")
    return buffer.getvalue()


def npy(values: np.ndarray) -> bytes:
    """As numpy saves it."""
    buffer = io.BytesIO()
    np.save(buffer, values)
    return buffer.getvalue()


def free_port() -> int:
    """A port of loopback that nobody has now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@dataclass
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, parsed."""
        return json.loads(self.body)


@dataclass
class Client:
    """Asks an endpoint."""

    port: int
    token: str
    tls: ssl.SSLContext | None = None

    def ask(
        self, method: str, path: str, body: bytes = b"", media: str = "", **headers: str
    ) -> Answer:
        """One request on a connection of its own."""
        kind = http.client.HTTPSConnection if self.tls else http.client.HTTPConnection
        options: dict[str, Any] = {"context": self.tls} if self.tls else {}
        line = kind("127.0.0.1", self.port, timeout=60, **options)
        sent = {name.replace("_", "-"): value for name, value in headers.items() if value}
        if self.token:
            sent["Authorization"] = f"Bearer {self.token}"
        if media:
            sent["Content-Type"] = media
        try:
            line.request(method, path, body or None, sent)
            reply = line.getresponse()
            given = {name.lower(): value for name, value in reply.getheaders()}
            return Answer(reply.status, given, reply.read())
        finally:
            line.close()

    def predict(self, model: str, body: bytes, media: str, **headers: str) -> Answer:
        """Ask a model."""
        return self.ask("POST", f"/v1/models/{model}:predict", body, media, **headers)
