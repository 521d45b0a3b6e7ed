"""Predictions with the project's own models: their bundles, who may use which, results, heatmaps, the inference API.

A model answers through the server's registry, engine and preprocessing; nothing here decides what a score means.
"""
