"""Bodies of requests to models of slides: the tiles of one, as an array."""

from typing import Any

from medray.errors import DataError
from medray.modalities.media import BINARY, NPY, read_npy
from medray.modalities.wire import Asked, Limits, Wire
from medray.storage.shards.samples import Sample


class SlideWire(Wire):
    """The tiles of one slide a request; whole slides are for bulk."""

    @property
    def samples(self) -> str:
        """See Wire."""
        side = self.plan["tile"]
        return f"tiles of a slide, {side} x {side} pixels at {self.plan['mpp']:.3g} µm"

    @property
    def takes(self) -> dict[str, dict[str, Any]]:
        """See Wire."""
        side = self.plan["tile"]
        return {NPY: {**BINARY, "description": f"uint8 (tiles, 3, {side}, {side})"}}

    def read(self, body: bytes, media: str, limits: Limits) -> Asked:
        """See Wire."""
        if len(body) > limits.decoded_bytes:
            raise DataError(f"the tiles have {len(body)} bytes", code="too-large")
        tiles, side = read_npy(body), self.plan["tile"]
        if tiles.dtype != "uint8" or tiles.shape[1:] != (3, side, side) or not len(tiles):
            raise DataError(
                "the body is not the tiles of a slide",
                code="bad-shape",
                hint=f"uint8 (tiles, 3, {side}, {side})",
            )
        return Asked([Sample("slide", {}, {"tiles": tiles})])
