"""Other inference servers: `serve_*.py` runs in an environment of its own, made of the exact versions in `*.txt`."""
