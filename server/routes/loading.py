"""Models on their way: loaded for the first time, or again after their engine process has ended."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from typing_extensions import TypedDict

from server.context import ServerContext
from server.engines.protocol import is_ready, progress_of


class LoadingModel(TypedDict):
    model: Annotated[str, Field(description="name and version")]
    progress: Annotated[str, Field(description="in words, with an estimate while an engine is being built")]


LOADING_EXAMPLE: LoadingModel = {
    "model": "trash 3",
    "progress": "building the TensorRT engine: 40%, Timing tactics, 20 s, about 30 s left",
}


def loading_models(parts: ServerContext) -> list[LoadingModel]:
    """As far as engine processes tell; a worker that runs models itself has none to tell of."""
    found = dict(parts.engines.loading) if parts.engines is not None else {}
    for model in parts.registry.models:
        if not is_ready(model.engine):
            found[f"{model.manifest.name} {model.manifest.version}"] = progress_of(model.engine)
    return [{"model": name, "progress": text} for name, text in sorted(found.items())]
