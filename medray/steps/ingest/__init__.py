"""Raw files to samples."""
