"""Images with objects: cases with boxes, batches of them, and boxes found tile by tile."""
