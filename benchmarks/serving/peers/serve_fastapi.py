"""FastAPI on uvicorn (uvloop, httptools): a process a core; the request's body is the image.

The default computes in the event loop, since a process has one core anyway; `fastapi:thread` in one thread beside it,
`fastapi:pool` in FastAPI's usual pool of 40 threads, which with large photos evict each other from the CPU's caches.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import plain
import uvicorn
from anyio import CapacityLimiter, to_thread
from fastapi import FastAPI, Request

in_loop = not plain.variant()
threads = CapacityLimiter(40 if plain.variant() == "pool" else 1)


@asynccontextmanager
async def load_model(_: FastAPI) -> AsyncIterator[None]:
    global model  # here, and not at import: the parent process needs none
    model = plain.from_environment()
    yield


app = FastAPI(lifespan=load_model)


@app.post("/predict")
async def predict(request: Request) -> dict[str, list[float]]:
    image = await request.body()
    if in_loop:
        return {"probabilities": model.predict(image)}
    return {"probabilities": await to_thread.run_sync(model.predict, image, limiter=threads)}


if __name__ == "__main__":
    uvicorn.run("serve_fastapi:app", port=plain.port(), workers=plain.workers(), log_level="warning", access_log=False)
