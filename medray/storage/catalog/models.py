"""Model packages: weights as safetensors, what is needed to use them as JSON, all hash-pinned.

<root>/models/<name>/HEAD, versions/<version>.json, <version>-<attempt>/{model.safetensors, …}.
Nothing is ever unpickled. As a unit's shard, a package's files lie below an attempt's own path,
and its manifest is the record that commits them: see `medray.storage.store.fence`.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load

from medray.errors import DamageError, DataError, SpecError
from medray.faults import point
from medray.ids import attempt_id, short
from medray.storage.catalog.versions import (
    Head,
    check_name,
    damaged_manifest,
    heads,
    lost_head,
    lost_version,
    move_head,
    read_head,
)
from medray.storage.store.damage import damage
from medray.storage.store.documents import Count, Id, decode
from medray.storage.store.fence import fence_of, settle
from medray.storage.store.objects import Objects

WEIGHTS = "model.safetensors"


@dataclass(frozen=True)
class Manifest:
    """What stands in storage for a version of a model; see ModelPackage.

    Args:
        spec: hash of the resolved training step.
        files: of the package: (bytes, SHA-256).
        folder: that they lie in; no part of the version, since equal models are one version.
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
    folder: str

    @property
    def identity(self) -> str:
        """What `version` must be: the hash of all the rest but the folder."""
        known = asdict(self)
        del known["version"], known["folder"]
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
    folder: str

    @property
    def reference(self) -> str:
        """name@version."""
        return f"{self.name}@{self.version}"

    def read(self, name: str) -> bytes:
        """One file of the package, checked against its hash.

        Raises:
            DamageError: it is not what was committed (code "wrong-hash"), or gone ("missing-file").
        """
        path = f"{folder_of(self.name, self.folder)}/{name}"
        try:
            data = self.objects.get(path)
        except FileNotFoundError as error:
            raise damage("the file is missing", "missing-file", path) from error
        size, sha256 = self.files[name]
        if len(data) != size or hashlib.sha256(data).hexdigest() != sha256:
            raise damage("the file is not what was committed", "wrong-hash", path)
        return data

    @property
    def is_whole(self) -> bool:
        """Whether every file is as it was committed; all of them are read."""
        try:
            return all(self.read(name) is not None for name in self.files)
        except DamageError:
            return False

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
    package = _commit(objects, {**core, "version": short(core)}, contents)
    make_newest(package)
    return package


def _commit(objects: Objects, core: dict[str, Any], contents: dict[str, bytes]) -> ModelPackage:
    """Write a package below an attempt's path, until one that is whole is committed."""
    name, version = core["name"], core["version"]
    path = manifest_path(name, version)
    while True:
        seen = _look(objects, path)
        folder = f"{version}-{attempt_id()}"
        for file, data in contents.items():
            objects.put(f"{folder_of(name, folder)}/{file}", data)
        point("model.before-manifest")
        manifest = json.dumps({**core, "folder": folder}).encode()
        won = settle(objects, path, seen or "", manifest)
        point("model.after-manifest")
        try:
            package = open_model(objects, f"{name}@{version}")
            sound = won or package.is_whole
        except SpecError:
            continue  # gc took what was written: once more
        except DamageError:
            sound = False
        if not sound:  # what stands is damaged, and its name says what it must be
            objects.put(path, manifest)
            return open_model(objects, f"{name}@{version}")
        if package.folder != folder:
            objects.delete(f"{folder_of(name, folder)}/{file}" for file in contents)
        return package


def _look(objects: Objects, path: str) -> str | None:
    """The fence in a manifest's place; None where there is none, or a manifest."""
    try:
        return fence_of(objects.get(path))
    except FileNotFoundError:
        return None


def manifest_path(name: str, version: str) -> str:
    """Where a version's manifest stands."""
    return f"models/{name}/versions/{version}.json"


def folder_of(name: str, folder: str) -> str:
    """Where an attempt's files lie."""
    return f"models/{name}/{folder}"


def named_folder(objects: Objects, name: str, version: str) -> str:
    """The folder that a version's manifest names; empty where there is no manifest.

    Raises:
        DamageError: the manifest was altered.
    """
    try:
        return open_model(objects, f"{name}@{version}").folder
    except SpecError:
        return ""


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
        if lost := lost_head(objects, "models", name):
            raise lost from error
        raise SpecError(
            "there is no such model",
            code="no-such-model",
            about=reference,
            hint=f"models here: {', '.join(heads(objects, 'models')) or 'none yet'}",
        ) from error
    path = manifest_path(name, version)
    try:
        manifest = _read(objects, path)
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
        folder=manifest.folder,
    )


def _read(objects: Objects, path: str) -> Manifest:
    data = objects.get(path)
    if fence_of(data) is not None:
        raise FileNotFoundError(path)
    return decode(data, path, Manifest)
