"""Calls as VCF Zarr arrays, and back."""
