"""Storage by name, and what stands in it by reference."""

import os
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlparse

from medray.errors import SpecError
from medray.spec.load import storage_profile
from medray.spec.storage import Storage, at
from medray.spec.urls import refuse_userinfo
from medray.storage.store.objects import Objects

if TYPE_CHECKING:
    from medray.storage.catalog.datasets import Dataset
    from medray.storage.catalog.models import ModelPackage

ENVIRONMENT = "MEDRAY_STORAGE"


def open_storage(storage: str | Objects | None = None) -> Objects:
    """The storage root that is meant.

    Args:
        storage: a profile's name or file, a URL or folder, or the root itself. None: the profile
            that MEDRAY_STORAGE names, else `local`.

    Raises:
        SpecError: there is no such profile (code "no-such-profile").
    """
    return storage if isinstance(storage, Objects) else Objects(storage_of(storage))


def known_storage(storage: str | Objects | None = None) -> Objects:
    """The storage root that is meant, to look at: a folder that is not there is not made.

    Args:
        storage: see `open_storage`.

    Raises:
        SpecError: as `open_storage`, or nothing was ever stored there (code "no-storage").
    """
    if isinstance(storage, Objects):
        return storage
    profile = storage_of(storage)
    parts = urlparse(profile.url)
    if parts.scheme in ("file", ""):
        folder = Path(unquote(parts.path)).absolute()
        if not folder.is_dir():
            raise SpecError(
                "nothing was ever stored there",
                code="no-storage",
                about=str(folder),
                hint="run a job first, or name the storage by --storage or MEDRAY_STORAGE",
            )
    return Objects(profile)


def storage_to_check(storage: str | None = None) -> Objects:
    """The storage root that is meant; an empty one where nothing was ever stored.

    Args:
        storage: see `open_storage`.

    Raises:
        SpecError: see `open_storage`.
    """
    try:
        return known_storage(storage)
    except SpecError as error:
        if error.code != "no-storage":
            raise
        return Objects("memory:///")


def storage_of(name: str | None = None) -> Storage:
    """The storage profile that is meant; see `open_storage`.

    Raises:
        SpecError: there is no such profile (code "no-such-profile"), no such kind of storage
            ("bad-storage"), or a secret stands in the URL ("secret-in-url").
    """
    about = "--storage" if name else ENVIRONMENT
    name = refuse_userinfo(name or os.environ.get(ENVIRONMENT, "") or "local", about)
    if "://" in name or ("/" in name and not name.endswith((".yaml", ".yml"))):
        return at(name)
    return storage_profile(name)


def open_reference(
    reference: str, storage: str | Objects | None = None
) -> "Dataset | ModelPackage":
    """A dataset or a trained model: `name` (the newest version) or `name@version`.

    Args:
        reference: datasets win where both have the name.
        storage: see `open_storage`.

    Raises:
        SpecError: there is neither (code "no-such-dataset"), no such version, or no such storage
            ("no-storage").
    """
    from medray.storage.catalog.datasets import open_dataset
    from medray.storage.catalog.models import open_model
    from medray.storage.catalog.versions import check_name

    objects = known_storage(storage)
    name = check_name(reference.partition("@")[0])
    is_model = not objects.exists(f"datasets/{name}/HEAD") and objects.exists(f"models/{name}/HEAD")
    return open_model(objects, reference) if is_model else open_dataset(objects, reference)
