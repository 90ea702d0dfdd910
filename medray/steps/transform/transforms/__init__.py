"""Transforms: datasets to datasets. One file each, loaded lazily."""

from typing import TYPE_CHECKING

from medray.registry import Registry

if TYPE_CHECKING:
    from medray.steps.transform.transforms.base import Transformation

TRANSFORMS: "Registry[Transformation]" = Registry(
    "medray.transforms",
    {
        "genome-windows": "medray.steps.transform.transforms.genome_windows:Windows",
        "beats": "medray.steps.transform.transforms.beats:Beats",
        "cascade": "medray.steps.transform.transforms.cascade:Cascade",
        "cohort": "medray.steps.transform.transforms.cohort:Cohort",
        "filter": "medray.steps.transform.transforms.filter:Filter",
        "mask-objects": "medray.steps.transform.transforms.mask_objects:MaskObjects",
        "resample": "medray.steps.transform.transforms.resample:Resample",
        "windows": "medray.steps.transform.transforms.windows:Windows",
        "expression-qc": "medray.steps.transform.transforms.expression_qc:ExpressionQc",
        "pseudo-outcomes": ("medray.steps.transform.transforms.pseudo_outcomes:PseudoOutcomes"),
        "split-compounds": "medray.steps.transform.transforms.split_compounds:SplitCompounds",
        "union": "medray.steps.transform.transforms.union:Union",
        "stain": "medray.steps.transform.transforms.stain:Stain",
        "slide-tiles": "medray.steps.transform.transforms.slide_tiles:SlideTiles",
        "variant-qc": "medray.steps.transform.transforms.variant_qc:VariantQc",
    },
)
