"""BentoML: a worker process a core, one computation at a time in each; the request's body is the image.

The default is an ASGI route of the service, which takes the bytes as they are and computes in a thread;
`bentoml:api` is BentoML's own API, which goes through a temporary file. Started by `bentoml serve`.
"""

from pathlib import Path
from typing import Annotated

import bentoml
import plain
from anyio import CapacityLimiter, to_thread
from bentoml.validators import ContentType
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

one_at_a_time = CapacityLimiter(1)


async def predict_bytes(request: Request) -> JSONResponse:
    image = await request.body()
    return JSONResponse(await to_thread.run_sync(model.predict, image, limiter=one_at_a_time))


@bentoml.asgi_app(Starlette(routes=[Route("/predict", predict_bytes, methods=["POST"])]), path="/raw")
@bentoml.service(workers=plain.workers(), threads=1, logging={"access": {"enabled": False}})
class PhotoClassifier:
    def __init__(self) -> None:
        global model  # here, and not at import: the parent process needs none
        model = plain.from_environment()

    @bentoml.api
    def predict(self, image: Annotated[Path, ContentType("image/*")], /) -> list[float]:
        return model.predict(image.read_bytes())
