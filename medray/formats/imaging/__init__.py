"""What formats of images share."""
