"""Run -> ONNX -> proof -> signed bundle. Fails closed: a model that differs from the trained one is never packed."""
