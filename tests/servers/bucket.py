"""A bucket of its own for each test."""

import secrets
from dataclasses import dataclass
from typing import Any

from medray.spec.storage import Storage
from medray.storage.store.objects import Objects

from .process import Server


@dataclass(frozen=True)
class Bucket:
    """A bucket on a running server.

    Args:
        name: of the bucket.
        server: that keeps it.
    """

    name: str
    server: Server

    @classmethod
    def new(cls, server: Server) -> "Bucket":
        """Make one under a name that nobody has."""
        bucket = cls(f"b-{secrets.token_hex(6)}", server)
        server.make_bucket(bucket.name)
        return bucket

    def profile(self, prefix: str = "pre fix/ü", **fields: Any) -> Storage:
        """A storage profile of it."""
        return Storage(
            **{"url": f"s3://{self.name}/{prefix}", "endpoint": self.server.endpoint, **fields}
        )

    def objects(self, prefix: str = "pre fix/ü", **fields: Any) -> Objects:
        """A root in it."""
        return Objects(self.profile(prefix, **fields))
