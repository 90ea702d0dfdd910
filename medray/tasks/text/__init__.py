"""Tasks of clinical text."""
