"""Models that others made -> bundles: read, wrap into the shipped graph's form, prove against the original, sign."""
