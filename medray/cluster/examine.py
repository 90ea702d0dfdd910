"""Look at every node of a Ray from within: a task on each says what it finds there."""

import dataclasses
import hmac
import importlib.metadata
import os
import platform
import shutil
import stat
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medray.errors import MedrayError
from medray.storage.store.objects import Objects
from medray.storage.store.probe import probe

TIMEOUT_S = 60.0
NODE_DIGITS = 12
_LIBRARIES = ("medray", "ray", "torch", "numpy", "pyarrow", "zarr", "obstore", "numcodecs")


@dataclass(frozen=True)
class Facts:
    """What one node says of itself.

    Args:
        node: beginning of its id.
        versions: of Python and the libraries that the work needs.
        auth: Ray's mode of authentication there.
        token: keyed hash of the token in the node's file; empty: it has none. Equal tokens have
            equal hashes, and the key is made anew each time.
        token_open: others on the node may read the file.
        skew_s: of its clock against the driver's.
        doubt_s: of `skew_s`, at most: half of what the question took.
        shm_bytes: size of its shared memory.
        shm_free_bytes: of these.
        store_bytes: that Ray means to keep objects in.
        gpus: that Ray hands out there.
        cuda: torch there can use GPUs.
        driver: the kernel's driver for them is loaded.
        storage: code of the error by which storage failed; empty: it answers and writes.
    """

    node: str
    versions: dict[str, str]
    auth: str
    token: str
    token_open: bool
    skew_s: float
    doubt_s: float
    shm_bytes: int
    shm_free_bytes: int
    store_bytes: int
    gpus: float
    cuda: bool
    driver: bool
    storage: str


def examine_nodes(objects: Objects, key: str) -> dict[str, Any]:
    """What the nodes of the Ray that is joined say, as plain values.

    Args:
        objects: the storage root, tried from each node.
        key: of the hashes of tokens.

    Returns:
        "facts": of each node that answered; "silent": of the others, the error's type by node.
    """
    import ray

    facts, silent = [], {}
    for node in ray.nodes():  # type: ignore[no-untyped-call]
        if node["Alive"]:
            try:
                facts.append(dataclasses.asdict(_facts(node, objects, key)))
            except ray.exceptions.RayError as error:
                silent[node["NodeID"][:NODE_DIGITS]] = type(error).__name__
    return {"facts": facts, "silent": silent}


def _facts(node: dict[str, Any], objects: Objects, key: str) -> Facts:
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
    ask = ray.remote(look).options(num_cpus=0, max_retries=0, scheduling_strategy=there)
    ray.get(ask.remote(objects, key), timeout=TIMEOUT_S)  # a process starts, libraries load
    before = time.time()
    said = ray.get(ask.remote(objects, key), timeout=TIMEOUT_S)
    after = time.time()
    took_s = said.pop("took_s")
    return Facts(
        node=node["NodeID"][:NODE_DIGITS],
        skew_s=said.pop("now_s") - (before + after - took_s) / 2,
        doubt_s=(after - before - took_s) / 2,
        store_bytes=int(node["Resources"].get("object_store_memory", 0)),
        gpus=node["Resources"].get("GPU", 0),
        **said,
    )


def look(objects: Objects, key: str) -> dict[str, Any]:
    """What this very process sees; runs on each node."""
    now_s = time.time()
    token, token_open = _token(key)
    shm = shutil.disk_usage("/dev/shm") if Path("/dev/shm").is_dir() else None  # noqa: S108
    failed = ""
    try:
        probe(objects)
    except MedrayError as error:
        failed = error.code
    return {
        "now_s": now_s,
        "versions": {"python": platform.python_version(), **_versions()},
        "auth": os.environ.get("RAY_AUTH_MODE", ""),
        "token": token,
        "token_open": token_open,
        "shm_bytes": shm.total if shm else 0,
        "shm_free_bytes": shm.free if shm else 0,
        "cuda": _has_cuda(),
        "driver": Path("/proc/driver/nvidia/version").exists(),
        "storage": failed,
        "took_s": time.time() - now_s,
    }


def _token(key: str) -> tuple[str, bool]:
    path = Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or "~/.ray/auth_token").expanduser()
    if not path.is_file():
        return "", False
    value = hmac.digest(key.encode(), path.read_text().strip().encode(), "sha256").hex()
    return value, bool(path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO))


def _versions() -> dict[str, str]:
    found = {}
    for name in _LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "none"
    from medray.version import __version__

    return {**found, "medray": __version__}  # that which runs, shipped or installed


def _has_cuda() -> bool:
    try:
        import torch.version
    except ImportError:
        return False
    return torch.version.cuda is not None
