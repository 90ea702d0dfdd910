"""Formats of clinical text: documents, and what is marked in them by character."""
