"""Datasets made from a dataset."""
