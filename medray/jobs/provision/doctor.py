"""Doctor: whether this machine can run medray, told check by check."""

import importlib.metadata
import os
import platform
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote, urlparse

from medray.errors import MedrayError
from medray.jobs.provision.capacity import cluster_checks
from medray.jobs.provision.nodes import examine_cluster
from medray.jobs.storage_by_name import open_storage
from medray.storage.store.probe import probe

FREE_BYTES = 2 * 2**30  # below this a run is likely to fill the disk

Finding = tuple[str, bool, str]


def examine(storage: str | None = None, cluster: str | None = None) -> list[Finding]:
    """(check, whether it passed, detail) of each check; none raises.

    Args:
        storage: see `medray.jobs.storage_by_name.open_storage`.
        cluster: profile to examine as well.
    """
    checks: dict[str, Callable[[], tuple[bool, str]]] = {
        "python": _python,
        "libraries": _libraries,
        "processors": _processors,
        "storage": lambda: _storage(storage),
        "disk": lambda: _disk(storage),
        "torch": _torch,
        "ray": _ray,
    }
    if cluster is not None:
        checks |= cluster_checks(cluster)
    findings: list[Finding] = []
    for name, check in checks.items():
        try:
            ok, detail = check()
        except MedrayError as error:
            ok, detail = False, str(error)
        except (ImportError, OSError) as error:
            ok, detail = False, type(error).__name__
        findings.append((name, ok, detail))
    if cluster is not None and ("cluster", True) in [(name, ok) for name, ok, _ in findings]:
        try:
            findings += examine_cluster(cluster, storage)
        except MedrayError as error:
            findings.append(("nodes", False, str(error)))
    return findings


def _python() -> tuple[bool, str]:
    return True, f"{platform.python_version()} on {platform.system()} {platform.machine()}"


def _libraries() -> tuple[bool, str]:
    wanted = ("ray", "torch", "pyarrow", "obstore", "numcodecs", "pydantic", "pydicom", "highdicom")
    return True, ", ".join(f"{name} {importlib.metadata.version(name)}" for name in wanted)


def _processors() -> tuple[bool, str]:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return True, f"{len(os.sched_getaffinity(0))} CPUs, {memory:.1f} GiB of memory"


def _storage(storage: str | None) -> tuple[bool, str]:
    objects = open_storage(storage)
    began = time.monotonic()
    probe(objects)
    return True, f"{objects.url}, conditional writes, {time.monotonic() - began:.3f} s for four"


def _disk(storage: str | None) -> tuple[bool, str]:
    parts = urlparse(open_storage(storage).url)
    if parts.scheme != "file":
        return True, "not a folder"
    free = shutil.disk_usage(Path(unquote(parts.path))).free
    return free > FREE_BYTES, f"{free / 2**30:.1f} GiB free"


def _torch() -> tuple[bool, str]:
    import torch

    gpus = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return True, ", ".join(gpus) or "no GPU: networks run on the CPU"


def _ray() -> tuple[bool, str]:
    from medray.cluster.session import start_local

    began = time.monotonic()
    with start_local(num_cpus=1):
        return True, f"a local one started in {time.monotonic() - began:.1f} s"
