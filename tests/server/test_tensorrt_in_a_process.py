"""TensorRT in a real engine process, on hardware that is not there: progress, the cache, and a device that fails."""

from __future__ import annotations

import dataclasses
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from engine_rig import Rig, check_scores, color_manifest, commanding, engine_rig, expected_scores, random_images
from fake_gpu import BREAKS_THE_DEVICE
from running_server import bare_app

from bundle.decode import ImageLimits
from server.context import EXTENSION
from server.engines.process.arrangement import LOAD_TIMEOUT_S
from server.engines.tensorrt.provider import CACHE_FOLDER
from server.errors import EngineRestarting
from server.metrics import Metrics
from server.models.model import ModelFacts, ServedModel
from server.models.registry import Registry, Slot, Table

SIZES = (1, 4, 8)


def tensorrt_rig(home: Path) -> Any:
    return engine_rig(
        builder="fake_tensorrt:fake_hosted_engines", providers=("TensorRT",), home=home, lanes=2, batch_sizes=SIZES
    )


def built(home: Path) -> int:
    return len(list(home.glob("build-*")))


def test_an_engine_process_tells_how_far_a_build_is_and_builds_once(tmp_path: Path) -> None:
    images = random_images(25)
    with tensorrt_rig(tmp_path) as rig, ThreadPoolExecutor(1) as pool:
        loading = pool.submit(rig.load)
        rig.wait(lambda: "building the TensorRT engine: 0%" in str(rig.processes.loading), "it says so", 30)
        assert health_of(rig)["loading"][0]["model"] == "colours 1"
        assert "building the TensorRT engine: 0%" in health_of(rig)["loading"][0]["progress"]
        (tmp_path / "go").touch()
        engine = loading.result(LOAD_TIMEOUT_S)
        assert engine.providers == ("TensorRT",)
        assert (engine.library, engine.device) == ("TensorRT 11.4.0.106, fake memory 1.0", "NVIDIA L4")
        check_all(engine, images)
        rig.kill()
        assert engine.providers == ("TensorRT",), "also while it is away"
        check_all(engine, images)
        assert built(tmp_path) == 1


def health_of(rig: Rig, registry: Registry | None = None) -> Any:
    """What a web worker with these engine processes and these models says."""
    app = bare_app()
    parts = app.extensions[EXTENSION]
    registry = registry or parts.registry
    app.extensions[EXTENSION] = dataclasses.replace(parts, engines=rig.processes, registry=registry)
    return app.test_client().get("/health/ready").json


def registry_of(engine: Any) -> Registry:
    registry, manifest = Registry(), color_manifest()
    facts = ModelFacts("default", "colours.onsight", "ab" * 32, "key")
    model = ServedModel(facts, manifest, manifest.variants[0], engine, ImageLimits(), 0.0)
    registry.publish(Table({("default", "colours"): (Slot(model),)}))
    return registry


def gauge(registry: Registry) -> str:
    lines = Metrics(None, registry, None).exposition().decode().splitlines()
    return next(line for line in lines if line.startswith("onsight_model_ready{"))


def test_while_an_engine_is_built_again_health_and_metrics_say_so(tmp_path: Path) -> None:
    (tmp_path / "go").touch()
    with tensorrt_rig(tmp_path) as rig:
        engine = rig.load()
        registry = registry_of(engine)
        assert health_of(rig, registry)["status"] == "ready"
        assert health_of(rig, registry)["loading"] == []
        assert gauge(registry).endswith('provider="TensorRT",version="1"} 1.0')
        (tmp_path / "go").unlink()
        shutil.rmtree(tmp_path / CACHE_FOLDER)
        rig.kill()
        rig.wait(lambda: "building the TensorRT engine" in engine.progress, "it is built again", 30)
        health = health_of(rig, registry)
        assert health["status"] == "engine_restarting"
        assert health["loading"] == [{"model": "colours 1", "progress": engine.progress}]
        assert [(model["provider"], model["device"]) for model in health["models"]] == [("TensorRT", "NVIDIA L4")]
        assert gauge(registry).endswith('provider="TensorRT",version="1"} 0.0')
        (tmp_path / "go").touch()
        rig.wait(lambda: bool(engine.ready), "it is ready again", 30)
        assert health_of(rig, registry)["status"] == "ready"
        check_all(engine, random_images(25))


def check_all(engine: Any, images: Any) -> None:
    for count in (1, 2, 7, 25):
        check_scores(engine.infer(images[:count]), expected_scores(images[:count]))


def test_a_device_that_fails_ends_its_process_and_the_next_one_serves(tmp_path: Path) -> None:
    (tmp_path / "go").touch()
    with tensorrt_rig(tmp_path) as rig:
        assert isinstance(rig, Rig)
        engine = rig.load()
        images = random_images(3)
        with pytest.raises(EngineRestarting):
            engine.infer(commanding(images[0], BREAKS_THE_DEVICE)[np.newaxis])
        check_scores(engine.infer(images), expected_scores(images))
        assert rig.processes.status[0].restarts == 2
