"""FastAPI on uvicorn (uvloop, httptools): a process a core; the request's body is the image.

The default computes in a thread of the pool, so that requests can arrive meanwhile; `fastapi:loop` in the event loop.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import plain
import uvicorn
from fastapi import FastAPI, Request
from fastapi.concurrency import run_in_threadpool

in_loop = plain.variant() == "loop"


@asynccontextmanager
async def load_model(_: FastAPI) -> AsyncIterator[None]:
    global model  # here, and not at import: the parent process needs none
    model = plain.from_environment()
    yield


app = FastAPI(lifespan=load_model)


@app.post("/predict")
async def predict(request: Request) -> dict[str, list[float]]:
    image = await request.body()
    return {"probabilities": model.predict(image) if in_loop else await run_in_threadpool(model.predict, image)}


if __name__ == "__main__":
    uvicorn.run("serve_fastapi:app", port=plain.port(), workers=plain.workers(), log_level="warning", access_log=False)
