"""VCF and BCF as they lie in files: blocks, lines, headers, values."""
