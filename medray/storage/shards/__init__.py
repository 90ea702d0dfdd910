"""One Parquet table and one Zarr group, written once and read by rows."""
