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
import torch
from PIL import Image
from safetensors.torch import save

from medray.modalities.image.normalise import ChannelNorm
from medray.modalities.image.plan import ImagePlan
from medray.models import MODELS
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
