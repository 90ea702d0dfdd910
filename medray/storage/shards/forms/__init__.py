"""Forms of Zarr groups that other tools know."""
