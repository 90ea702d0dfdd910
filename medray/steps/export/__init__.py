"""Datasets written as files."""
