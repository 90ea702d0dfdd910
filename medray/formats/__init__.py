"""Formats: how raw files become samples, and back. One file or folder each, loaded lazily."""

from medray.formats.base import Format
from medray.registry import Registry

FORMATS: Registry[Format] = Registry(
    "medray.formats",
    {
        "brat": "medray.formats.documents.brat:Brat",
        "conll": "medray.formats.documents.conll:Conll",
        "notes": "medray.formats.documents.notes:Notes",
        "dicom": "medray.formats.dicom:Dicom",
        "dicom_seg": "medray.formats.dicom.segmentation:DicomSeg",
        "dicom_sr": "medray.formats.dicom.report:DicomSr",
        "nifti": "medray.formats.nifti:Nifti",
        "image": "medray.formats.image:Image",
        "detections": "medray.formats.image.boxes.detections:Detections",
        "ome_zarr": "medray.formats.ome_zarr:OmeZarr",
        "slide": "medray.formats.slide:Slides",
        "bed": "medray.formats.bed:Bed",
        "bigwig": "medray.formats.bigwig:Bigwig",
        "gff": "medray.formats.gff:Gff",
        "fasta": "medray.formats.fasta:Fasta",
        "expression": "medray.formats.expression:Expression",
        "sequences": "medray.formats.sequences:Sequences",
        "fhir": "medray.formats.fhir:Fhir",
        "document_reference": "medray.formats.fhir.document_reference:DocumentReference",
        "meds": "medray.formats.meds:Meds",
        "ehr": "medray.formats.ehr:Ehr",
        "pairs": "medray.formats.pairs:Pairs",
        "sdf": "medray.formats.sdf:Sdf",
        "smiles": "medray.formats.smiles:Smiles",
        "signal-table": "medray.formats.signal_table:SignalTable",
        "intervals": "medray.formats.intervals:Intervals",
        "signal-npz": "medray.formats.signal_npz:SignalNpz",
        "table": "medray.formats.table:Table",
        "edf": "medray.formats.edf:Edf",
        "annotated_vcf": "medray.formats.vcf.annotated:AnnotatedVcf",
        "vcf": "medray.formats.vcf:Vcf",
        "wfdb": "medray.formats.wfdb:Wfdb",
        "wfdb-annotations": "medray.formats.wfdb.beats:WfdbAnnotations",
        "geojson": "medray.formats.heat.geojson:GeoJson",
        "heat_map": "medray.formats.heat.zarr:HeatMap",
        # They draw with the engine; plugins, as those of outsiders are.
        "overlay": "medray.modalities.image.overlay_format:Overlay",
        "box_overlay": "medray.modalities.image.objects.overlay_format:BoxOverlay",
        "track_plot": "medray.modalities.sequence.track_format:TrackPlot",
    },
)
