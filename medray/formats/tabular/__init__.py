"""Text and tables, as several formats read them."""
