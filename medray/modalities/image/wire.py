"""Bodies of requests to images, by the formats that ingest reads; masks to files."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from medray.errors import DataError
from medray.modalities.apart import decoder
from medray.modalities.image.explain import HOW, MAP
from medray.modalities.media import (
    ARROW,
    BINARY,
    DICOM,
    JPEG,
    JSON,
    NIFTI,
    NPY,
    PNG,
    TIFF,
    ZIP,
    parsed,
    read_npy,
)
from medray.modalities.wire import Answer, Asked, Limits, Wire
from medray.storage.shards.samples import Sample

_DTYPES = ("float32", "float64", "int16", "int32", "int8", "uint16", "uint8")


class ImageWire(Wire):
    """One image a request, as a file or as numbers; Arrow holds many."""

    @property
    def outputs(self) -> tuple[str, ...]:
        """See Wire: of masks, and maps of what the model looks at; boxes have no Grad-CAM, and
        networks that a mask guides no maps."""
        boxes = self.plan["answers"] == "objects"
        maps = tuple(one for one in HOW if one != "grad-cam" or not boxes)
        maps = () if self.plan.get("guide") else maps
        return ("labels", "probabilities", *maps) if self.places else ("labels", *maps)

    @property
    def samples(self) -> str:
        """See Wire."""
        count = self.plan["in_channels"]
        return f"{self.plan['dims']}-D images, {count} channel{'s' if count > 1 else ''}"

    @property
    def takes(self) -> dict[str, dict[str, Any]]:
        """See Wire: volumes are NIfTI first, pictures PNG."""
        files = (NIFTI, DICOM, ZIP) if self.plan["dims"] == 3 else (PNG, JPEG, TIFF)
        rest = tuple({NIFTI, DICOM, ZIP, PNG, JPEG, TIFF} - set(files))
        axes = "(C, Z, Y, X)" if self.plan["dims"] == 3 else "(Y, X) or (C, Y, X)"
        numbers = {
            "type": "object",
            "required": ["image"],
            "additionalProperties": False,
            "properties": {
                "image": {
                    "type": "array",
                    "items": {},
                    "description": f"nested lists {axes} of {self.plan['in_channels']} channels",
                },
                "dtype": {"type": "string", "enum": list(_DTYPES), "default": "float32"},
                "spacing_mm": {
                    "type": "array",
                    "items": {"type": "number"},
                    "description": "size of a voxel along each axis of space",
                },
            },
        }
        column = {**BINARY, "description": "a column `image` of fixed-shape tensors, uncompressed"}
        return {
            **dict.fromkeys(files, BINARY),
            NPY: {**BINARY, "description": axes},
            JSON: numbers,
            ARROW: column,
            **dict.fromkeys(sorted(rest), BINARY),
        }

    def read(self, body: bytes, media: str, limits: Limits) -> Asked:
        """See Wire. Each sample has `image` (C, Z, Y, X) or (C, Y, X), and the row that ingest
        would have made of it."""
        if media == ARROW:
            rows = decoder(limits.decoded_bytes).read(body, {"image": "tensor"})
            made = [_sample(name, values["image"], limits) for name, values in rows]
            return Asked(made, many=True)
        if media == NPY:
            return Asked([_sample("image", read_npy(body), limits)])
        if media == JSON:
            return Asked([_of_numbers(body, limits)])
        from medray.modalities.image.files import read_file

        return Asked([read_file(body, media, limits)])

    def gives(self, media: str) -> tuple[str, ...]:
        """See Wire: masks come as what was sent, where that can be; of whole images answers come
        in JSON, and maps as files where a client accepts nothing else."""
        if media == ARROW:
            return super().gives(media)
        if not self.places:
            return (JSON, NPY, NIFTI)
        own = media if media in (NIFTI, JSON) else NPY
        return tuple(dict.fromkeys((own, NPY, NIFTI, PNG, JSON)))

    def write(self, model: str, answers: Sequence[Answer], media: str, *, many: bool) -> bytes:
        """See Wire; what is explained comes as its map alone, in JSON and Arrow with the answer."""
        mapped = [_mapped(one, media) if MAP in one.arrays else one for one in answers]
        return super().write(model, mapped, media, many=many)

    def encode(self, answer: Answer, values: np.ndarray, media: str) -> bytes:
        """See Wire."""
        if media == NIFTI:
            affine = answer.asked.get("affine")
            if affine is None:
                raise DataError("the image has no affine", code="no-affine")
            from medray.formats.nifti.volume import encode

            return encode(values, np.reshape(affine, (4, 4)))
        if media == PNG:
            from medray.formats.image.raster import encode_png

            return encode_png(values)
        return super().encode(answer, values, media)


def _mapped(answer: Answer, media: str) -> Answer:
    """An answer with its map, as a body of that type holds it."""
    values = np.ascontiguousarray(answer.arrays[MAP])
    if media not in (JSON, ARROW):
        return replace(answer, arrays={MAP: values})
    told: dict[str, Any] = {MAP: values.tolist()}
    if media == ARROW:
        told = {MAP: values.tobytes(), "shape": values.shape, "dtype": str(values.dtype)}
    return replace(answer, columns=answer.columns | told, arrays={})


def _of_numbers(body: bytes, limits: Limits) -> Sample:
    document = parsed(body)
    try:
        unknown = set(document) - {"image", "dtype", "spacing_mm"}
        kind = document.get("dtype", "float32")
        if unknown or kind not in _DTYPES:
            raise ValueError
        values = np.array(document["image"], kind)
        spacing = [float(value) for value in document.get("spacing_mm", [])]
    except (ValueError, TypeError, KeyError, OverflowError, AttributeError, RecursionError) as e:
        raise DataError(
            "expected {image: nested lists, dtype: …, spacing_mm: […]}",
            code="bad-json",
            hint=f"dtype is one of {', '.join(_DTYPES)}",
        ) from e
    return _sample("image", values, limits, spacing)


def _sample(
    name: str, values: np.ndarray, limits: Limits, spacing: list[float] | None = None
) -> Sample:
    from medray.formats.imaging.values import as_image, describe

    if values.nbytes > limits.decoded_bytes:
        raise DataError(f"the image has {values.nbytes} bytes", code="image-too-large")
    if values.ndim not in (2, 3, 4) or not values.size:
        raise DataError(
            f"an image of shape {values.shape}",
            code="bad-shape",
            hint="(Y, X), (C, Y, X) or (C, Z, Y, X)",
        )
    image = as_image(values if values.ndim > 2 else values[None])
    spacing = spacing or [1.0] * (image.ndim - 1)
    if len(spacing) != image.ndim - 1 or not all(1e-6 < size < 1e6 for size in spacing):
        raise DataError("spacing_mm is not one size per axis of space", code="bad-spacing")
    return Sample(name, {"spacing_mm": spacing, **describe(image)}, {"image": image})
