"""Labelled images -> run: data set, splits, features, training loop, statistics. Knows neither flask nor a database."""

import os

# Before torch is imported: its threads must not spin while they wait. On a machine with other work to do spinning made
# a training step five times slower (2.5 s against 0.4 s); on an idle one it gains nothing.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# Before ONNX Runtime is imported: its builds report to their maker over the network, and keep a device id, unless told.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
