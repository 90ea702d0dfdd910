"""What travels with a run: its profiles, and where asked these sources and a folder of the user's.

Its name depends on its content alone, so that equal ones are uploaded once.
"""

import hashlib
import io
import os
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import yaml

import medray
from medray.errors import SpecError
from medray.spec.profiles import RayCluster
from medray.spec.storage import Storage
from medray.storage.store.disk import read_file

MAX_BYTES = 100 * 2**20
_EPOCH = (1980, 1, 1, 0, 0, 0)
# Names that hold data, builds or secrets, never a project's code.
_LEFT = frozenset({"__pycache__", "node_modules", "medray-data", "build", "dist", "out"})
_SECRET_SUFFIXES = frozenset({".pem", ".key", ".p12", ".pfx", ".token"})


@dataclass(frozen=True)
class Shipment:
    """What travels, and as what.

    Args:
        files: contents by path.
    """

    files: dict[str, bytes]

    @property
    def name(self) -> str:
        """Of the package. Made of the content, not of the zip, which mostly is there already."""
        hashed = hashlib.sha256()
        for path in sorted(self.files):
            hashed.update(f"{path}\n{len(self.files[path])}\n".encode())
            hashed.update(self.files[path])
        return f"_ray_pkg_{hashed.hexdigest()[:32]}.zip"

    def zipped(self) -> bytes:
        """The package; of medray's own sources that takes 80 ms."""
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            for path in sorted(self.files):
                entry = zipfile.ZipInfo(path, _EPOCH)
                entry.external_attr = 0o644 << 16
                archive.writestr(entry, self.files[path], zipfile.ZIP_DEFLATED, 1)
        return buffer.getvalue()


def pack(profile: RayCluster, cluster: str, storage: Storage | None, storage_name: str) -> Shipment:
    """What travels with a run.

    Args:
        profile: to go by on the cluster, as `cluster/<cluster>.yaml`.
        cluster: its name there.
        storage: likewise, as `storage/<storage_name>.yaml`; None where a URL says it all.
        storage_name: its name there.

    Raises:
        SpecError: the working directory is larger than `MAX_BYTES` (code "too-large-to-ship").
    """
    files: dict[str, bytes] = {}
    if profile.working_dir is not None:
        files.update(_project(Path(profile.working_dir).expanduser()))
    if profile.medray == "shipped":
        files.update(_sources(Path(medray.__file__).parent))
    files[f"cluster/{cluster}.yaml"] = _yaml(profile.model_dump(mode="json"))
    if storage is not None:
        files[f"storage/{storage_name}.yaml"] = _yaml(
            storage.model_dump(mode="json", exclude_unset=True)
        )
    return Shipment(files)


def _yaml(value: object) -> bytes:
    return yaml.safe_dump(value, sort_keys=True).encode()


def _sources(package: Path) -> Iterator[tuple[str, bytes]]:
    """This medray, and the profiles and jobs beside it where it is not from a wheel."""
    for folder, inside, names in os.walk(package):
        inside[:] = [name for name in inside if name != "__pycache__"]
        for name in names:
            path = f"{folder}/{name}"
            yield f"medray{path.removeprefix(str(package))}", read_file(path)


def _project(folder: Path) -> Iterator[tuple[str, bytes]]:
    """The user's folder, without what is hidden, built, data or looks like a secret."""
    if not folder.is_dir():
        raise SpecError("there is no such folder to ship", code="no-such-folder", about=str(folder))
    size = 0
    for path in sorted(folder.rglob("*")):
        name = PurePosixPath(path.relative_to(folder).as_posix())
        hidden = any(part.startswith(".") or part in _LEFT for part in name.parts)
        if hidden or path.suffix in _SECRET_SUFFIXES or path.is_symlink() or not path.is_file():
            continue
        size += path.stat().st_size
        if size > MAX_BYTES:
            raise SpecError(
                f"more than {MAX_BYTES} bytes to ship",
                code="too-large-to-ship",
                about=str(folder),
                hint="name the folder with the code alone in the profile: working_dir",
            )
        yield str(name), path.read_bytes()
