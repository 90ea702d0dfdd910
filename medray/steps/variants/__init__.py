"""Variants scored by a model of sequences."""
