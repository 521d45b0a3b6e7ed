"""Bundles for other machines: what was exported, whether a licence lets it go, and how it is installed there."""
