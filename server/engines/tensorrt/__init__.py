"""NVIDIA TensorRT, driven directly: an engine built on this host from the verified graph, kept for the next start."""
