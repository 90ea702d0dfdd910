"""What a radiologist looks for on a page: planes to leaf through, volumes, scanners, sites."""
