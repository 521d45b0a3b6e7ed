"""From a models folder to models that answer, and every way in which one does not."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from color_bundle import BLUE, GREEN, LABELS, RED, SIDE, color_graph, make_manifest
from running_server import Install

from bundle.decode import ImageLimits
from bundle.errors import ImageTooLarge
from bundle.keys import SigningKey
from bundle.pack import describe_files
from server.engines.factory import EngineOptions, engine_factory
from server.engines.onnx_runtime import OnnxRuntimeEngine, OnnxRuntimeOptions, check_providers
from server.errors import EngineError, GraphMismatch, ModelsLoading, ProviderMismatch, UnknownModel
from server.models.keeper import Keeper
from server.models.registry import Phase, Registry
from server.models.shelf import list_bundles, natural_order

CUDA_THEN_CPU = ("CUDAExecutionProvider", "CPUExecutionProvider")


def open_registry(install: Install, options: EngineOptions | None = None) -> Registry:
    registry = Registry()
    keep(install, registry, options or EngineOptions()).look()
    return registry


def keep(install: Install, registry: Registry, options: EngineOptions, limits: ImageLimits | None = None) -> Keeper:
    build = engine_factory(options)
    return Keeper(install.models, install.home.trust_dir, registry, build, limits or ImageLimits())


def codes(registry: Registry) -> dict[str, str]:
    return {failure.file_name: failure.code for failure in registry.failures}


def test_a_bundle_serves_and_names_the_colour(install: Install) -> None:
    install.add_bundle()
    registry = open_registry(install)
    model = registry.get(["default"], "colours")
    assert registry.phase is Phase.READY
    for label, image in zip(LABELS, (RED, GREEN, BLUE), strict=True):
        decision = model.predict(image).decision
        assert decision.labels == (label,)
        assert decision.scores[0].probability > 0.99
    assert model.golden_difference < 1e-6
    assert model.engine.providers == ("CPUExecutionProvider",)


def test_a_folder_of_bundles_is_a_project(install: Install) -> None:
    install.add_bundle("a.onsight")
    install.add_bundle("shop/b.onsight", name="goods")
    install.add_bundle(".partial.onsight")
    registry = open_registry(install)
    assert [(model.facts.project, model.manifest.name) for model in registry.models] == [
        ("default", "colours"),
        ("shop", "goods"),
    ]
    assert registry.get(["pretrained", "shop"], "goods").facts.project == "shop"
    with pytest.raises(UnknownModel):
        registry.get(["default"], "goods")


def test_the_highest_version_serves_and_the_others_stand_by(install: Install) -> None:
    for version in ("1.9", "1.10", "1.2"):
        install.add_bundle(f"v{version}.onsight", version=version)
    registry = open_registry(install)
    assert registry.get(["default"], "colours").manifest.version == "1.10"
    assert [one.version for one in registry.standby] == ["1.9", "1.2"]


def test_versions_are_ordered_as_people_order_them() -> None:
    found = ["2", "1.10", "1.0", "1.2", "1.0-rc2", "1.0.1", "1.0-rc1"]
    assert sorted(found, key=natural_order) == ["1.0-rc1", "1.0-rc2", "1.0", "1.0.1", "1.2", "1.10", "2"]


def test_a_version_that_does_not_reproduce_its_golden_scores_leaves_the_lower_one_serving(install: Install) -> None:
    install.add_bundle("good.onsight", version="1")
    install.add_bundle("bad.onsight", version="2", golden_shift=0.01)
    registry = open_registry(install)
    assert registry.get(["default"], "colours").manifest.version == "1"
    assert codes(registry) == {"bad.onsight": "BUNDLE_GOLDEN"}


def test_bad_bundles_are_named_with_their_reason_and_the_good_one_serves(install: Install) -> None:
    good = install.add_bundle("good.onsight")
    data = bytearray(good.read_bytes())
    data[data.index(b"mean") + 1] ^= 1
    (install.models / "flipped.onsight").write_bytes(data)
    (install.models / "cut.onsight").write_bytes(data[: len(data) // 2])
    (install.models / "text.onsight").write_text("hello")
    install.add_bundle("stranger.onsight", key=SigningKey.generate())
    install.add_bundle("we ird/x.onsight", name="other")
    (install.home.trust_dir / "notes.pem").write_text("not a key")
    registry = open_registry(install)
    assert [model.facts.file_name for model in registry.models] == ["good.onsight"]
    assert codes(registry)["stranger.onsight"] == "UNTRUSTED_KEY"
    assert set(codes(registry)) == {"flipped.onsight", "cut.onsight", "text.onsight", "stranger.onsight", "x.onsight"}
    assert all(install.key.public_key.key_id not in failure.reason for failure in registry.failures)
    assert all(str(install.models.parent) not in failure.reason for failure in registry.failures)


def test_a_graph_that_is_not_what_the_manifest_says_is_refused(install: Install) -> None:
    install.add_bundle("fixed.onsight", graph=color_graph(fixed_batch=True))
    install.add_bundle("junk.onsight", name="junk", graph=b"\x08\x0anot a graph")
    registry = open_registry(install)
    assert codes(registry) == {"fixed.onsight": "ENGINE_GRAPH", "junk.onsight": "ENGINE"}
    assert registry.phase is Phase.NO_MODELS


def test_a_manifest_whose_tensors_are_not_ours_is_refused() -> None:
    graph = color_graph()
    manifest = make_manifest(graph, describe_files({"model.onnx": graph, "golden.npz": b"x"}), "colours", "1")
    wrong = manifest.input.model_copy(update={"name": "pictures"})
    with pytest.raises(GraphMismatch, match="pictures"):
        OnnxRuntimeEngine(manifest.model_copy(update={"input": wrong}), graph, OnnxRuntimeOptions())
    with pytest.raises(EngineError):
        OnnxRuntimeEngine(manifest, b"", OnnxRuntimeOptions())


def test_a_missing_provider_is_an_error_unless_a_fallback_is_declared(install: Install) -> None:
    if Path("/dev/nvidia0").exists():
        pytest.skip("this machine has an NVIDIA driver: the provider may not be missing")
    install.add_bundle()
    assert codes(open_registry(install, EngineOptions(CUDA_THEN_CPU))) == {"colours.onsight": "ENGINE_PROVIDER"}
    registry = open_registry(install, EngineOptions(CUDA_THEN_CPU, fallback=True))
    assert registry.models[0].engine.providers == ("CPUExecutionProvider",)


def test_a_session_that_runs_elsewhere_than_asked_is_refused() -> None:
    with pytest.raises(ProviderMismatch, match="CUDAExecutionProvider"):
        check_providers(("CPUExecutionProvider",), "CUDAExecutionProvider")
    check_providers(CUDA_THEN_CPU, "CUDAExecutionProvider")


def test_a_batch_gives_what_its_images_give_alone() -> None:
    graph = color_graph()
    manifest = make_manifest(graph, describe_files({"model.onnx": graph, "golden.npz": b"x"}), "colours", "1")
    engine = OnnxRuntimeEngine(manifest, graph, OnnxRuntimeOptions())
    images = np.random.default_rng(7).integers(0, 256, (5, SIDE, SIDE, 3), np.uint8)
    together = engine.infer(images)
    for index in range(5):
        alone = engine.infer(images[index : index + 1])
        np.testing.assert_array_equal(together[0][index], alone[0][0])
        np.testing.assert_array_equal(together[1][index], alone[1][0])


def test_before_loading_a_model_is_neither_found_nor_missing(new_install: Callable[[], Install]) -> None:
    install = new_install()
    registry = Registry()
    with pytest.raises(ModelsLoading):
        registry.get(["default"], "colours")
    keep(install, registry, EngineOptions()).look()
    assert registry.phase is Phase.NO_MODELS


def test_the_pixel_limit_of_the_server_holds_for_its_models(install: Install) -> None:
    install.add_bundle()
    registry = Registry()
    keep(install, registry, EngineOptions(), ImageLimits(max_pixels=1000)).look()
    with pytest.raises(ImageTooLarge):
        registry.models[0].predict(RED)  # 64 x 48 = 3072 pixels


def test_a_models_folder_that_may_be_listed_but_not_entered_is_no_reason_to_end(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="onsight-") as name:  # outside tmp_path, whose parents are for root alone
        models, reader = Path(name) / "models", os.geteuid() or 65534
        (models / "shop").mkdir(parents=True)
        Path(name).chmod(0o755)
        if not os.geteuid():
            os.chown(models, reader, reader)
        models.chmod(0o400)
        os.seteuid(reader)  # root may enter everywhere
        try:
            found = list_bundles(models)
        finally:
            os.seteuid(os.getuid())
            models.chmod(0o700)
        assert (found.files, found.unread, found.whole) == ((), {"shop"}, True)
