"""Pixels of a DICOM file: frames, codestreams, colour, checks before decoding."""
