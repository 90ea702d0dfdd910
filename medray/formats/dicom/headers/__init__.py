"""DICOM headers in bulk: elements, tags, character sets."""
