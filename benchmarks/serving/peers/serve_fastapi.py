"""FastAPI on uvicorn (uvloop, httptools): a process a core; the request's body is the image.

The default computes in a thread of the pool, so that requests can arrive meanwhile; `fastapi:loop` in the event loop.
"""

import plain
import uvicorn
from fastapi import FastAPI, Request
from fastapi.concurrency import run_in_threadpool

app = FastAPI()
model = plain.from_environment()
in_loop = plain.variant() == "loop"


@app.post("/predict")
async def predict(request: Request) -> dict[str, list[float]]:
    image = await request.body()
    return {"probabilities": model.predict(image) if in_loop else await run_in_threadpool(model.predict, image)}


if __name__ == "__main__":
    uvicorn.run("serve_fastapi:app", port=plain.port(), workers=plain.workers(), log_level="warning", access_log=False)
