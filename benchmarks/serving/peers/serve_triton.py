"""Triton through PyTriton: as many inference callables as cores; the image goes in Triton's binary protocol.

Its server is linked with Debian's Python, so the environment is made with /usr/bin/python3.
"""

from typing import Any

import numpy as np
import plain
from pytriton.model_config import ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig

model = plain.from_environment()


def predict(requests: list[Any]) -> list[dict[str, Any]]:
    images = (request.data["image"].reshape(-1)[0] for request in requests)
    return [{"probabilities": np.asarray(model.predict(image), np.float32)} for image in images]


if __name__ == "__main__":
    config = TritonConfig(http_address="127.0.0.1", http_port=plain.port(), allow_grpc=False, allow_metrics=False)
    with Triton(config=config) as triton:
        triton.bind(
            "photos",
            [predict] * plain.workers(),
            inputs=[Tensor(name="image", dtype=bytes, shape=(1,))],
            outputs=[Tensor(name="probabilities", dtype=np.float32, shape=(-1,))],
            config=ModelConfig(batching=False),
        )
        triton.serve()
