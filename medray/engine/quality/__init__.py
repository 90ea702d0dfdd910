"""Statistics of whole datasets that say whether data are fit for use."""
