"""From committed shards to batches: sample order, normalisation, patches, augmentation."""
