"""LitServe: a worker process a core, none waits for a batch; the request's body is the image.

The default hands images to the workers through LitServe's ZeroMQ queue (`fast_queue`), from as many API processes as
workers, as LitServe recommends; `litserve:manager` uses its usual queue, `litserve:one` a single API process.
"""

from typing import Annotated

import litserve
import plain
from fastapi import Body


class PhotoClassifier(litserve.LitAPI):
    def setup(self, device: str) -> None:
        self.model = plain.from_environment()

    # LitServe reads a body that is not JSON only where FastAPI does it, so the annotation must be no string
    def decode_request(self, request: Annotated[bytes, Body(media_type="application/octet-stream")]) -> bytes:
        return request

    def predict(self, image: bytes) -> list[float]:
        return self.model.predict(image)

    def encode_response(self, output: list[float]) -> dict[str, list[float]]:
        return {"probabilities": output}


if __name__ == "__main__":
    server = litserve.LitServer(
        PhotoClassifier(),
        accelerator="cpu",
        devices=1,
        workers_per_device=plain.workers(),
        fast_queue=plain.variant() != "manager",
    )
    api_servers = 1 if plain.variant() == "one" else plain.workers()
    server.run("127.0.0.1", plain.port(), num_api_servers=api_servers, log_level="warning", generate_client_file=False)
