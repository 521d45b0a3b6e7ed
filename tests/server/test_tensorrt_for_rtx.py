"""Our exported graphs through a real parser and builder of the TensorRT family, without a GPU.

TensorRT itself needs a GPU to build. TensorRT for RTX (for workstations: `pip install tensorrt-rtx-cu13`) has the same
parser and builder and needs none, so where somebody has installed it the builder is tried for real.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from color_bundle import SIDE, color_graph

from bundle.archive import read_archive
from bundle.manifest import parse_manifest
from exporter.export import export_run
from server.engines.tensorrt.builder import BuildRequest, build_plan
from server.engines.tensorrt.library import TensorRTLog
from server.errors import EngineError, GraphMismatch
from server.models.loader import choose_variant

# In this member of the family timings do nothing, and calls about them say so.
pytestmark = pytest.mark.filterwarnings("ignore:Use Deprecated in TensorRT-RTX:DeprecationWarning")


@pytest.fixture(scope="module")
def trt() -> Any:
    return pytest.importorskip("tensorrt_rtx", reason="needs tensorrt_rtx: pip install tensorrt-rtx-cu13")


def build(trt: Any, graph: bytes, side: int = SIDE, input_name: str = "images") -> tuple[bytes, list[str]]:
    said: list[str] = []
    request = BuildRequest(graph, input_name, (side, side, 3), (1, 8, 32), 1 << 30)
    built = build_plan(trt, TensorRTLog(trt), request, b"", lambda progress: said.append(str(progress)))
    again = build_plan(trt, TensorRTLog(trt), request, built.timings, lambda _progress: None)
    assert len(again.plan) > 1000
    return built.plan, said


def test_the_builder_builds_a_plan_and_tells_how_far_it_is(trt: Any) -> None:
    plan, said = build(trt, color_graph())
    assert len(plan) > 1000
    assert said[0].startswith("building the TensorRT engine: 0%")


def test_what_the_exporter_writes_is_parsed_without_a_complaint(trt: Any, request: pytest.FixtureRequest) -> None:
    for name in ("single_bundle", "multi_bundle"):  # by name: they are made only where there is a builder to try them
        files = read_archive(request.getfixturevalue(name))
        manifest = parse_manifest(files["manifest.json"])
        graph = files[choose_variant(manifest).file]
        plan, _ = build(trt, graph, manifest.preprocessing.height, manifest.input.name)
        assert len(plan) > 1000


def test_the_forms_for_gpus_are_parsed_and_built_and_that_for_cpus_is_not(
    trt: Any, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    run, key = request.getfixturevalue("single_run").run, request.getfixturevalue("maker_key")
    exported = export_run(run, tmp_path / "shapes.onsight", key, variants=("all",))
    assert exported.left_out == ()
    manifest, files = exported.manifest, read_archive(exported.path)
    for variant in manifest.variants:
        if variant.serves_on is not None:
            plan, _ = build(trt, files[variant.file], manifest.preprocessing.height, manifest.input.name)
            assert len(plan) > 1000
    with pytest.raises(EngineError, match="cannot read it"):
        build(trt, files["model.int8.onnx"], manifest.preprocessing.height, manifest.input.name)


def test_a_graph_that_it_cannot_read_is_refused_with_the_parser_s_words(trt: Any) -> None:
    with pytest.raises(EngineError, match=r"cannot read it: node .*MODEL_DESERIALIZE_FAILED"):
        build(trt, b"\x08\x0anot a graph")
    with pytest.raises(EngineError, match=r"cannot read it: node 1 \(NoSuchMean, "):
        build(trt, color_graph().replace(b"ReduceMean", b"NoSuchMean"))
    with pytest.raises(GraphMismatch, match="-1 for any batch"):
        build(trt, color_graph(fixed_batch=True))
