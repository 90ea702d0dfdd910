"""Prediction of volumes in windows, slab by slab, in bounded memory."""
