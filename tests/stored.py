"""What tests know of stored shards."""

from blake3 import blake3

from medray.storage.shards.records import ROOT, TABLE, Pinned
from medray.storage.store.objects import Objects


def found(objects: Objects, path: str) -> Pinned:
    """A shard as it stands now, believed as it is: what a commit would say of it."""
    root = f"{path}/{ROOT}"
    return Pinned(
        path,
        blake3(objects.get(f"{path}/{TABLE}")).hexdigest(),
        blake3(objects.get(root)).hexdigest() if objects.exists(root) else "",
    )
