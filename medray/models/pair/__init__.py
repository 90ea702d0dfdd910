"""Networks of compounds and proteins in pairs."""
