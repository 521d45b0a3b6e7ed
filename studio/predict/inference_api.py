"""The server's inference API in the studio's process: /v1, /v2, /api/predict and /api/pm-predict, for the same models.

The server's own application answers below these addresses, with its views, problems and documents. Its tokens are the
studio's, whose scopes must allow predicting; its registry is the studio's, which shows each caller the models of
their projects. No session opens it: it is for programs.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, Final

from flask import Flask, g
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from server.app import create_app
from server.context import ServerContext
from server.hosting.board import Board
from server.hosting.lifecycle import Lifecycle
from server.metrics import Metrics
from server.models.changes import Changes
from server.models.wishes import Wishes
from server.routes.predict import cloud
from server.routes.v1 import v1
from server.routes.v2 import v2
from server.routes.v2_infer import v2_infer
from server.settings import ServerSettings
from server.tokens import Scope
from studio.access.principal import Principal
from studio.access.privileges import Privilege
from studio.access.tokens import find_token, note_use
from studio.context import StudioContext
from studio.predict.models import StudioModels

log = logging.getLogger("onsight.studio")

Wsgi = Callable[[dict[str, Any], Any], Iterable[bytes]]
_ADDRESS: Final = re.compile(r"/(?:v1|v2|api/predict|api/pm-predict)(?:/|$)")


class _Holder:
    """Of a studio's token, as the server sees it."""

    def __init__(self, who: Principal) -> None:
        self.name = who.public_id
        self.scopes = (Scope.PREDICT,) if Privilege.PREDICT in who.opened else ()


class _StudioTokens:
    """The studio's tokens. Who one belongs to is remembered for the request, for the models to ask."""

    is_empty = False

    def __init__(self, parts: StudioContext) -> None:
        self._parts = parts

    def authenticate(self, presented: str) -> _Holder | None:
        database, now = self._parts.database, self._parts.now()
        with database.reading() as connection:
            found = find_token(connection, presented, now)
        if found is None:
            return None
        who, due_id = found
        if due_id is not None:
            self._note(due_id, now)
        g.principal = who
        return _Holder(who)

    def _note(self, token_id: int, now: datetime) -> None:
        with self._parts.database.writing() as connection:
            note_use(connection, token_id, now)


class _OneProcess(Changes):
    """Models come and go as they are asked for; nobody loads one by name."""

    @property
    def worker_count(self) -> int:
        return 1

    @property
    def in_step(self) -> bool:
        return True


class _GivenSettings(ServerSettings):
    """By the studio's settings alone: the environment's are those of `onsight serve`."""

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource, dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:  # fmt: skip
        return (init_settings,)


def mount_inference_api(app: Flask, parts: StudioContext, models: StudioModels) -> None:
    """Let the server's application answer below its addresses; nothing where Onsight's extra `server` is missing."""
    if not parts.settings.inference_api:
        return
    try:
        api: Wsgi = _inference_app(parts, models).wsgi_app
    except ModuleNotFoundError as error:
        log.warning("inference API left out: install Onsight's extra 'server'", extra={"missing": error.name})
        return
    own: Wsgi = app.wsgi_app

    def dispatch(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        answering = api if _ADDRESS.match(environ.get("PATH_INFO", "")) else own
        return answering(environ, start_response)

    app.wsgi_app = dispatch  # type: ignore[method-assign]


def _inference_app(parts: StudioContext, models: StudioModels) -> Flask:
    own = parts.settings
    settings = _GivenSettings(
        home=own.home,
        models_dir=own.folder,
        max_image_bytes=own.max_image_bytes,
        max_image_pixels=own.max_image_pixels,
    )
    lifecycle, board = Lifecycle(), Board(1)
    return create_app(
        ServerContext(
            settings,
            models,
            _StudioTokens(parts),
            lifecycle,
            board,
            _OneProcess(models, Wishes(own.folder / "wishes.json"), lifecycle, board),
            Metrics(None, models, None),
        ),
        (cloud, v1, v2, v2_infer),
    )
