"""A model that no longer serves leaves nothing behind: no session, no file, no reference in the metrics."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path

import numpy as np
import pytest
from color_bundle import RED, SIDE, color_graph, make_manifest
from running_server import Install

from bundle.decode import ImageLimits
from bundle.pack import describe_files
from server.engines.factory import EngineOptions, engine_factory
from server.engines.onnx_runtime import OnnxRuntimeEngine, OnnxRuntimeOptions
from server.errors import EngineError, GraphMismatch
from server.metrics import Metrics
from server.models.keeper import Keeper
from server.models.registry import Registry

BLANK = np.zeros((1, SIDE, SIDE, 3), np.uint8)


def engine_of(graph: bytes, options: OnnxRuntimeOptions) -> OnnxRuntimeEngine:
    manifest = make_manifest(graph, describe_files({"model.onnx": graph, "golden.npz": b"x"}), "colours", "1")
    return OnnxRuntimeEngine(manifest, graph, options)


def prepared(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.is_dir()]


def test_a_closed_engine_takes_its_prepared_graph_away_and_others_go_on_with_it(tmp_path: Path) -> None:
    options = OnnxRuntimeOptions(shared_folder=tmp_path)
    one, two = (engine_of(color_graph(), options) for _ in range(2))
    assert len(prepared(tmp_path)) == 1
    before = two.infer(BLANK)
    one.close()
    assert prepared(tmp_path) == []
    np.testing.assert_array_equal(two.infer(BLANK), before)
    np.testing.assert_array_equal(engine_of(color_graph(), options).infer(BLANK), before)
    two.close()
    two.close()


def test_an_engine_that_is_refused_leaves_no_prepared_graph(tmp_path: Path) -> None:
    with pytest.raises(GraphMismatch):
        engine_of(color_graph(fixed_batch=True), OnnxRuntimeOptions(shared_folder=tmp_path))
    with pytest.raises(EngineError):
        engine_of(b"not a graph", OnnxRuntimeOptions(shared_folder=tmp_path))
    assert prepared(tmp_path) == []


def test_where_weights_cannot_be_shared_the_model_serves_all_the_same(tmp_path: Path) -> None:
    engine = engine_of(color_graph(), OnnxRuntimeOptions(shared_folder=tmp_path / "absent"))
    assert engine.infer(BLANK)[0].shape == (1, 3)
    engine.close()


def test_a_model_that_was_swapped_out_is_held_by_nobody(install: Install) -> None:
    install.add_bundle(version="1")
    registry = Registry()
    build = engine_factory(EngineOptions())
    keeper = Keeper(install.models, install.home.trust_dir, registry, build, ImageLimits())
    keeper.look()
    metrics = Metrics(None, registry, None)
    with registry.lease(["default"], "colours") as model:
        prediction = model.predict(RED)
        metrics.predicted(model, 1, 0.0, prediction.decode_ms, prediction.inference_ms, 0.001)
        engine = weakref.ref(model.engine)
    del model
    install.add_bundle(version="2")
    keeper.look(forced=True)
    gc.collect()
    assert registry.get(["default"], "colours").manifest.version == "2"
    assert engine() is None
