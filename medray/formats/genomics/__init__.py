"""What formats of sequences and variants share."""
