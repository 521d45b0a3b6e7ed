"""Run -> ONNX -> proof -> signed bundle. Fails closed: a model that does not answer as the trained one is never packed."""
