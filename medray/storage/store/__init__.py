"""Objects by key, on a disk or in a bucket."""
