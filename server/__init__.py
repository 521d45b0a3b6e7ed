"""The on-premise inference server. Reads bundles only: knows neither torch nor the trainer."""

import os

# Before ONNX Runtime is imported: its builds report to their maker over the network, and keep a device id, unless told.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
