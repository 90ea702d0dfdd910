"""The gate that text passes at ingest: what names people is replaced, or the document refused."""
