"""From a folder of bundles to models that answer: which there are, which serve, how they change."""
