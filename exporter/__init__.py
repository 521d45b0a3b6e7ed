"""Run -> ONNX -> proof -> signed bundle. Fails closed: a model that differs from the trained one is never packed."""

import os

# Before ONNX Runtime is imported: its builds report to their maker over the network, and keep a device id, unless told.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
