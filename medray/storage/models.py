"""Model packages: weights as safetensors, what is needed to use them as JSON, all hash-pinned.

<root>/models/<name>/HEAD, versions/<version>.json, <version>/{model.safetensors, card.md, …}.
Nothing is ever unpickled.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load

from medray.errors import DataError, SpecError
from medray.ids import short
from medray.storage.damage import damage
from medray.storage.documents import Count, Id, read
from medray.storage.objects import Objects
from medray.storage.versions import (
    Head,
    check_name,
    damaged_manifest,
    heads,
    lost_version,
    move_head,
    read_head,
)

WEIGHTS = "model.safetensors"


@dataclass(frozen=True)
class Manifest:
    """What stands in storage for a version of a model; see ModelPackage.

    Args:
        spec: hash of the resolved training step.
        files: of the package: (bytes, SHA-256).
    """

    name: str
    version: Id
    kind: str
    digest: str
    config: dict[str, Any]
    metrics: dict[str, Any]
    parents: list[str]
    spec: str
    files: dict[str, tuple[Count, str]]

    @property
    def identity(self) -> str:
        """What `version` must be: the hash of all the rest."""
        known = asdict(self)
        del known["version"]
        return short(known)


@dataclass(frozen=True)
class ModelPackage:
    """One version of a trained model.

    Args:
        name: of the model.
        version: hash of everything in the package.
        digest: hash of weights and config: equal models, equal digests.
        config: how to build the network and use it (model, task, plan, classes), JSON-able.
        metrics: how good it was when trained, JSON-able.
        parents: datasets and models it was made of, as "name@version".
    """

    objects: Objects
    name: str
    version: str
    digest: str
    config: dict[str, Any]
    metrics: dict[str, Any]
    parents: list[str]
    files: dict[str, tuple[int, str]]

    @property
    def reference(self) -> str:
        """name@version."""
        return f"{self.name}@{self.version}"

    def read(self, name: str) -> bytes:
        """One file of the package, checked against its hash.

        Raises:
            DamageError: it is not what was committed (code "wrong-hash").
        """
        path = f"models/{self.name}/{self.version}/{name}"
        data = self.objects.get(path)
        size, sha256 = self.files[name]
        if len(data) != size or hashlib.sha256(data).hexdigest() != sha256:
            raise damage("the file is not what was committed", "wrong-hash", path)
        return data

    def weights(self) -> dict[str, np.ndarray]:
        """Parameter name → values.

        Raises:
            DataError: not a sound safetensors file (code "bad-weights"), or changed.
        """
        try:
            tensors: dict[str, np.ndarray] = load(self.read(WEIGHTS))
        except SafetensorError as error:
            raise DataError(
                "not a sound safetensors file", code="bad-weights", about=self.reference
            ) from error
        return tensors


def save_model(
    objects: Objects,
    name: str,
    *,
    weights: bytes,
    config: dict[str, Any],
    metrics: dict[str, Any],
    parents: list[str],
    spec: str,
    card: str,
    extra: dict[str, bytes] | None = None,
) -> ModelPackage:
    """Commit a model package and move HEAD to it; the same again changes nothing.

    Args:
        weights: a safetensors file.
        config: see ModelPackage.
        metrics: see ModelPackage.
        parents: see ModelPackage.
        spec: hash of the resolved training step.
        card: a model card in Markdown.
        extra: more files (history of the training, the plan).
    """
    check_name(name)
    contents = {WEIGHTS: weights, "card.md": card.encode(), **(extra or {})}
    files = {
        file: (len(data), hashlib.sha256(data).hexdigest())
        for file, data in sorted(contents.items())
    }
    digest = short({"weights": files[WEIGHTS][1], "config": config})
    core = {
        "name": name,
        "kind": "train",
        "digest": digest,
        "config": config,
        "metrics": metrics,
        "parents": parents,
        "spec": spec,
        "files": files,
    }
    version = short(core)
    for file, data in contents.items():
        objects.put(f"models/{name}/{version}/{file}", data)
    manifest = json.dumps({**core, "version": version}).encode()
    objects.put_new(f"models/{name}/versions/{version}.json", manifest)
    package = open_model(objects, f"{name}@{version}")
    make_newest(package)
    return package


def make_newest(package: ModelPackage) -> None:
    """Move HEAD to a version."""
    move_head(package.objects, f"models/{package.name}/HEAD", Head(package.version, "model"))


def open_model(objects: Objects, reference: str) -> ModelPackage:
    """Open `name` (the newest version) or `name@version`.

    Raises:
        SpecError: there is no such model or version (code "no-such-model").
        DataError: HEAD or the manifest was altered (codes "damaged-record", "damaged-manifest"), or
            HEAD names a version that is not there ("lost-version").
    """
    name, _, given = reference.partition("@")
    check_name(name)
    try:
        version = given or read_head(objects, "models", name).version
    except FileNotFoundError as error:
        raise SpecError(
            "there is no such model",
            code="no-such-model",
            about=reference,
            hint=f"models here: {', '.join(heads(objects, 'models')) or 'none yet'}",
        ) from error
    path = f"models/{name}/versions/{version}.json"
    try:
        manifest = read(objects, path, Manifest)
    except FileNotFoundError as error:
        if not given:
            raise lost_version(f"models/{name}/HEAD") from error
        raise SpecError(
            "there is no such version", code="no-such-model", about=reference
        ) from error
    if not manifest.identity == manifest.version == version:
        raise damaged_manifest(path)
    return ModelPackage(
        objects=objects,
        name=manifest.name,
        version=manifest.version,
        digest=manifest.digest,
        config=manifest.config,
        metrics=manifest.metrics,
        parents=manifest.parents,
        files=manifest.files,
    )
