"""Transforms: datasets to datasets. One file each, loaded lazily."""

from typing import TYPE_CHECKING

from medray.registry import Registry

if TYPE_CHECKING:
    from medray.engine.transforms.base import Transformation

TRANSFORMS: "Registry[Transformation]" = Registry(
    "medray.transforms",
    {
        "windows": "medray.engine.transforms.windows:Windows",
        "expression-qc": "medray.engine.transforms.expression_qc:ExpressionQc",
        "variant-qc": "medray.engine.transforms.variant_qc:VariantQc",
    },
)
