"""The engines of one server, by its settings: within each worker, or in processes of their own."""

from __future__ import annotations

import os
from pathlib import Path

from server.engines.factory import EngineOptions
from server.engines.factory import engine_factory as in_process_factory
from server.engines.process.arrangement import EngineProcesses, default_lanes
from server.engines.process.options import HostOptions
from server.engines.protocol import EngineFactory
from server.settings import ServerSettings


def engine_processes(settings: ServerSettings) -> EngineProcesses | None:
    """In the parent, before the fork; None where models run in the workers."""
    if not settings.uses_engine_processes:
        return None
    template = HostOptions(
        providers=settings.providers,
        fallback=settings.provider_fallback,
        intra_op_threads=settings.intra_op_threads,
        batch_sizes=settings.batch_sizes or (),
        lanes=default_lanes(settings.providers),
        log_format=settings.log_format,
        log_level=settings.log_level,
        home=str(settings.home.absolute()),
        engine_cache_bytes=settings.engine_cache_bytes,
    )
    return EngineProcesses(
        template, settings.devices, settings.queue_slots, settings.engine_timeout_s, dict(os.environ)
    )


def engine_factory(settings: ServerSettings, shared_folder: Path, processes: EngineProcesses | None) -> EngineFactory:
    """In a worker. shared_folder: where workers that run models themselves share weights."""
    if processes is not None:
        return processes.factory()
    return in_process_factory(
        EngineOptions(
            settings.providers,
            settings.provider_fallback,
            settings.intra_op_threads,
            shared_folder,
            settings.devices[0],
            settings.batch_sizes or (),
            settings.home,
            settings.engine_cache_bytes,
        )
    )
