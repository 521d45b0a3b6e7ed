"""What the parent tells an engine process at its start: one frozen document, as JSON in its command line.

Nothing in it is secret: other users of the machine can read a command line.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib import import_module
from typing import Any, Literal, Protocol

from bundle.manifest import Manifest
from server.engines.process.batching import DEFAULT_BATCH_SIZES
from server.engines.process.pulse import MAX_LANES
from server.engines.protocol import Engine
from server.engines.providers import CPU


class HostedFactory(Protocol):
    """Builds an engine in the engine process: manifest, verified graph, and where to say how far it is."""

    def __call__(
        self, manifest: Manifest, graph: bytes, progress: Callable[[str], None], /, *, private: bool = False
    ) -> Engine:
        """private: see EngineFactory."""


@dataclass(frozen=True, slots=True)
class HostOptions:
    """device: its number, for logs.  door, pulse: inherited file descriptors.  parent: ends with this process.

    batch_sizes: ascending; an accelerator runs these sizes alone, a CPU any up to the last.  lanes: batches at once.
    home, engine_cache_bytes: see EngineOptions.
    builder: `module:function` that makes the HostedFactory from these options.
    """

    device: int = 0
    door: int = -1
    pulse: int = -1
    parent: int = -1
    providers: tuple[str, ...] = (CPU,)
    fallback: bool = False
    intra_op_threads: int = 1
    batch_sizes: tuple[int, ...] = ()
    lanes: int = 1
    home: str | None = None
    engine_cache_bytes: int = 0
    builder: str = "server.engines.factory:hosted_engines"
    log_format: Literal["text", "json"] = "text"
    log_level: str = "info"

    def __post_init__(self) -> None:
        if list(self.batch_sizes) != sorted(set(self.batch_sizes)) or any(size < 1 for size in self.batch_sizes):
            raise ValueError(f"batch_sizes: expected ascending sizes from 1 on, found {self.batch_sizes}")
        if not 1 <= self.lanes <= MAX_LANES:
            raise ValueError(f"lanes: expected 1 to {MAX_LANES}, found {self.lanes}")

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> HostOptions:
        document: dict[str, Any] = json.loads(text)
        for name in ("providers", "batch_sizes"):
            document[name] = tuple(document[name])
        return cls(**document)

    def sizes_on(self, provider: str) -> tuple[int, ...]:
        """Batch sizes of a model that this provider runs. A CPU is no faster with a batch, so it waits for none."""
        return self.batch_sizes or ((1,) if provider == CPU else DEFAULT_BATCH_SIZES)

    def hosted_factory(self) -> HostedFactory:
        module, _, name = self.builder.partition(":")
        factory: HostedFactory = getattr(import_module(module), name)(self)
        return factory
