"""Predictions held against the truth."""
