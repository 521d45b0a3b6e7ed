"""What a request handler may reach: the parts that `create_app` was given, and nothing global."""

from __future__ import annotations

from dataclasses import dataclass

from flask import current_app

from server.engines.process.arrangement import EngineProcesses
from server.hosting.board import Board
from server.hosting.lifecycle import Lifecycle
from server.metrics import Metrics
from server.models.changes import Changes
from server.models.entitlement import Entitlement
from server.models.registry import Registry
from server.settings import ServerSettings
from server.tokens import Tokens

EXTENSION = "onsight"


@dataclass(frozen=True, slots=True)
class ServerContext:
    settings: ServerSettings
    registry: Registry
    tokens: Tokens
    lifecycle: Lifecycle
    board: Board
    changes: Changes
    metrics: Metrics
    engines: EngineProcesses | None = None
    entitlement: Entitlement | None = None


def context() -> ServerContext:
    """The parts of the app that answers the current request."""
    found: ServerContext = current_app.extensions[EXTENSION]
    return found
