"""Clusters: rendered, measured, examined."""
