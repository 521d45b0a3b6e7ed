"""The models of the process, for request handlers, and who asks for them."""

from __future__ import annotations

from flask import current_app, g, has_app_context

from studio.access.principal import Principal
from studio.predict.models import StudioModels

MODELS = "onsight_models"


def models() -> StudioModels:
    found: StudioModels = current_app.extensions[MODELS]
    return found


def asking() -> Principal | None:
    """Whom the current request is by, as the studio's guard or the inference API found it."""
    found: Principal | None = g.get("principal") if has_app_context() else None
    return found
