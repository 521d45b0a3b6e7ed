"""MLServer: a worker process a core.

The default is a handler of its own that takes the image as the request's body; `mlserver:v2` is the Open Inference
Protocol, which MLServer speaks as JSON alone over HTTP, with the image in base64.
"""

import asyncio
import base64
from typing import Annotated

import mlserver
import plain
from fastapi import Body
from mlserver.handlers import custom_handler
from mlserver.types import InferenceRequest, InferenceResponse, ResponseOutput


class PhotoClassifier(mlserver.MLModel):
    async def load(self) -> bool:
        self.model = plain.from_environment()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        scores = self.model.predict(base64.b64decode(payload.inputs[0].data[0]))
        output = ResponseOutput(name="probabilities", shape=[1, len(scores)], datatype="FP32", data=scores)
        return InferenceResponse(model_name=self.name, outputs=[output])

    @custom_handler(rest_path="/predict")
    async def predict_bytes(self, image: Annotated[bytes, Body(media_type="application/octet-stream")]) -> list[float]:
        return self.model.predict(image)


async def main() -> None:
    settings = mlserver.Settings(
        debug=False,
        host="127.0.0.1",
        http_port=plain.port(),
        grpc_port=0,
        metrics_endpoint=None,
        parallel_workers=plain.workers(),
        gzip_enabled=False,
    )
    await mlserver.MLServer(settings).start([mlserver.ModelSettings(name="photos", implementation=PhotoClassifier)])


if __name__ == "__main__":
    asyncio.run(main())
