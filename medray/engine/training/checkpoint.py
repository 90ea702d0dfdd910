"""Checkpoints in storage: tensors as safetensors, the rest as JSON, a manifest written last.

<folder>/<step>-<attempt>/{model,optimiser,…}.safetensors, state.json, checkpoint.json. Only a
folder whose checkpoint.json stands and whose files have the hashes in it is a checkpoint, so a kill
at any byte of a save leaves the one before it to be chosen. Nothing is pickled.
"""

import hashlib
import json
import logging
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load as decode
from safetensors.torch import save as encode
from torch import Tensor

from medray.errors import DamageError, DataError, FatalError
from medray.faults import point
from medray.ids import attempt_id, canonical, digest
from medray.log import event
from medray.storage.store import documents
from medray.storage.store.objects import Objects

MANIFEST = "checkpoint.json"
STATE = "state.json"
GO_ON = "`medray resume` goes on from the newest checkpoint that is whole"


@dataclass(frozen=True)
class Checkpoint:
    """One checkpoint, read and checked.

    Args:
        step: steps that were done when it was taken.
        path: its folder.
        tensors: by file ("model", "optimiser", …), then by name.
        state: what else there is, JSON-able.
    """

    step: int
    path: str
    tensors: dict[str, dict[str, Tensor]]
    state: dict[str, Any]


class Checkpoints:
    """The checkpoints of one run.

    Args:
        objects: where.
        folder: of the run's checkpoints.
    """

    def __init__(self, objects: Objects, folder: str) -> None:
        self._objects, self.folder = objects, folder.rstrip("/")

    def save(self, step: int, tensors: dict[str, dict[str, Tensor]], state: dict[str, Any]) -> str:
        """Write a checkpoint; returns its folder once it is committed.

        Raises:
            RetryableError: storage failed; the checkpoints before are as they were.
        """
        path = f"{self.folder}/{step:010d}-{attempt_id()}"
        files: dict[str, tuple[int, str]] = {}
        for name, named in tensors.items():
            self._put(path, f"{name}.safetensors", encode(named), files)
        self._put(path, STATE, canonical(state), files)
        point("checkpoint.before-manifest")
        core = {"step": step, "files": files}
        manifest = canonical({**core, "sha256": digest(core)})
        if not self._objects.put_new(f"{path}/{MANIFEST}", manifest):
            raise FatalError("a checkpoint of that name exists", code="checkpoint-race", about=path)
        point("checkpoint.after-manifest")
        return path

    def _put(self, path: str, name: str, data: bytes, files: dict[str, tuple[int, str]]) -> None:
        point(f"checkpoint.before-{name.partition('.')[0]}")
        self._objects.put(f"{path}/{name}", data)
        files[name] = (len(data), hashlib.sha256(data).hexdigest())

    def keep(self, name: str, data: bytes) -> None:
        """Put a file beside the checkpoints, that goes when they go."""
        self._objects.put(f"{self.folder}/{name}", data)

    def kept(self, name: str) -> bytes | None:
        """What was put beside them; None: nothing."""
        try:
            return self._objects.get(f"{self.folder}/{name}")
        except FileNotFoundError:
            return None

    def committed(self) -> list[tuple[int, str]]:
        """(step, folder) of every committed checkpoint, oldest first."""
        paths = [f"{self.folder}/{name}" for name in self._objects.folders(self.folder)]
        return [
            (_step_of(path), path) for path in paths if self._objects.exists(f"{path}/{MANIFEST}")
        ]

    def newest(self, only: Collection[str] | None = None) -> Checkpoint | None:
        """The newest checkpoint that is whole; a damaged one is logged and passed over.

        One whose best is gone is of no use either: a package is made of the best.
        """
        committed = self.committed()
        for _, path in reversed(committed):
            try:
                found = self.read(path, only)
                best = found.state.get("best")
                if best is not None and int(best) != found.step:
                    where = dict(committed).get(int(best), f"{self.folder}/{best}")
                    self.read(where, {found.state["weights"]})
            except DataError as error:
                event("checkpoint-damaged", level=logging.WARNING, path=path, code=error.code)
            else:
                return found
        return None

    def read(self, path: str, only: Collection[str] | None = None) -> Checkpoint:
        """Read one checkpoint and check every file that is read.

        Args:
            path: its folder.
            only: names of tensor files to read; None: all. The state always comes along.

        Raises:
            DamageError: a file is missing or is not what was written (code "wrong-hash"), or the
                manifest is not (codes "missing-checkpoint", "damaged-record").
        """
        manifest = self._manifest(f"{path}/{MANIFEST}")
        tensors: dict[str, dict[str, Tensor]] = {}
        state: dict[str, Any] = {}
        for name, (size, sha256) in manifest["files"].items():
            part = name.removesuffix(".safetensors")
            if name != STATE and only is not None and part not in only:
                continue
            try:
                data = self._objects.get(f"{path}/{name}")
            except FileNotFoundError:
                data = b""
            if len(data) != size or hashlib.sha256(data).hexdigest() != sha256:
                raise DamageError(
                    "a checkpoint's file is not what was written",
                    code="wrong-hash",
                    about=f"{path}/{name}",
                    hint=GO_ON,
                )
            if name == STATE:
                state = json.loads(data)
                continue
            try:
                tensors[part] = decode(data)
            except SafetensorError as error:
                raise DataError(
                    "not a sound safetensors file", code="bad-weights", about=f"{path}/{name}"
                ) from error
        return Checkpoint(manifest["step"], path, tensors, state)

    def _manifest(self, path: str) -> dict[str, Any]:
        try:
            manifest = documents.read(self._objects, path, dict[str, Any], GO_ON)
        except FileNotFoundError as error:
            raise DamageError(
                "the checkpoint is gone", code="missing-checkpoint", about=path, hint=GO_ON
            ) from error
        core = {name: value for name, value in manifest.items() if name != "sha256"}
        if digest(core) != manifest.get("sha256"):
            raise documents.damaged(path, GO_ON)
        return manifest

    def prune(self, keep: int, also: int | None = None) -> None:
        """Remove all but the newest `keep` checkpoints and the one of the step `also`.

        What earlier saves left unfinished goes too.
        """
        committed = self.committed()
        kept = {path for _, path in committed[-keep:]}
        kept |= {path for step, path in committed if step == also}
        newest = max((step for step, _ in committed), default=-1)
        for name in self._objects.folders(self.folder):
            path = f"{self.folder}/{name}"
            if path in kept or _step_of(path) > newest:
                continue
            # The manifest goes first: a kill in between leaves no checkpoint that lacks a file.
            self._objects.delete([f"{path}/{MANIFEST}"])
            point("checkpoint.half-pruned")
            self._objects.delete([entry.path for entry in self._objects.walk(path)])


def _step_of(path: str) -> int:
    return int(path.rpartition("/")[2].partition("-")[0])
