"""Where bytes live: objects, Zarr arrays, Parquet tables, datasets, ledger, models, audit."""
