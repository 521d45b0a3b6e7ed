"""`onsight engine`: what it builds is what a server finds; what it lists and clears; what it says without a GPU."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from color_bundle import seal
from fake_gpu import L4, PROBE, FakeGpu
from fake_tensorrt import FakeTensorRT, fake_builder, open_provider
from running_server import Install

from bundle.keys import SigningKey
from bundle.load import load_bundle
from bundle.trust import TrustStore
from licenses.identity import InstallIdentity
from onsight import engines
from onsight.cli import main
from server.engines.device_probe import DeviceProbe, probe_devices
from server.engines.factory import EngineOptions
from server.engines.providers import TENSORRT
from server.engines.tensorrt.provider import CACHE_FOLDER
from server.errors import ProviderMismatch
from server.settings import ServerSettings

Run = Callable[..., Result]


@pytest.fixture
def trt() -> FakeTensorRT:
    return FakeTensorRT(FakeGpu())


@pytest.fixture
def run(install: Install, trt: FakeTensorRT, monkeypatch: pytest.MonkeyPatch) -> Run:
    """`onsight engine ...` on a machine with an L4."""
    monkeypatch.setattr(engines, "probe_devices", lambda: PROBE)
    monkeypatch.setattr(engines, "load_tensorrt", lambda: trt)
    monkeypatch.setattr(engines, "TensorRTProvider", lambda options, probe: open_provider(options, probe, trt.gpu, trt))

    def engine(*arguments: str | Path, **environment: str) -> Result:
        environment = {f"ONSIGHT_{name.upper()}": value for name, value in environment.items()}
        return CliRunner().invoke(
            main, ["engine", *map(str, arguments)], env={"ONSIGHT_HOME": str(install.home.path), **environment}
        )

    return engine


def serve(install: Install, trt: FakeTensorRT, sizes: tuple[int, ...] = ()) -> None:
    """Build the bundle's engine as an engine process of a server with these settings does."""
    settings = ServerSettings()
    bundle = load_bundle(install.models / "colours.onsight", TrustStore(install.home.trust_dir))
    options = EngineOptions((TENSORRT,), batch_sizes=sizes, home=install.home.path,
                            engine_cache_bytes=settings.engine_cache_bytes)  # fmt: skip
    fake_builder(options, trt.gpu, trt).build(bundle.manifest, bundle.files["model.onnx"]).close()


def test_what_is_built_is_what_the_server_finds(install: Install, run: Run, trt: FakeTensorRT) -> None:
    path = install.add_bundle()
    result = run("build", path)
    assert (result.exit_code, len(trt.builds)) == (0, 1)
    assert result.stdout.startswith("ok      colours 1 fp32: built; golden replay within ")
    serve(install, trt)
    assert len(trt.builds) == 1
    assert "there already" in run("build", path).stdout
    assert len(trt.builds) == 1


def test_a_folder_of_bundles_is_built_and_what_fails_does_not_keep_the_rest(
    install: Install, run: Run, trt: FakeTensorRT
) -> None:
    install.add_bundle()
    install.add_bundle("shop/goods.onsight", name="goods")
    install.add_bundle("stranger.onsight", key=SigningKey.generate())
    install.add_bundle("wrong.onsight", name="wrong", golden_shift=0.1)
    result = run("build", install.models, "--json")
    assert result.exit_code == 1
    by_file = {Path(each["bundle"]).name: each for each in json.loads(result.stdout)}
    assert by_file["colours.onsight"]["status"] == "built"
    assert by_file["goods.onsight"]["status"] == "there"  # the same graph
    assert "trust store" in by_file["stranger.onsight"]["error"]
    assert "golden image 1" in by_file["wrong.onsight"]["error"]


def test_sealed_bundles_are_skipped_whoever_can_open_them_and_no_engine_of_them_is_kept(
    install: Install, run: Run, trt: FakeTensorRT, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = InstallIdentity.load_or_create(install.home.licenses_dir)
    seal(install.add_bundle("ours.onsight"), ours)
    seal(install.add_bundle("theirs.onsight"), InstallIdentity.load_or_create(tmp_path / "theirs"))
    result = run("build", install.models, "--json")
    assert result.exit_code == 0
    by_file = {Path(each["bundle"]).name: each for each in json.loads(result.stdout)}
    assert [by_file[name]["status"] for name in ("ours.onsight", "theirs.onsight")] == ["skipped", "skipped"]
    assert by_file["ours.onsight"]["model"] == "colours"  # it was opened
    assert "each start builds it" in by_file["ours.onsight"]["skipped"]
    assert "sealed for another install" in by_file["theirs.onsight"]["skipped"]
    assert not trt.builds
    assert "skipped " in run("build", install.models / "theirs.onsight").stdout
    trt.gpu.make_current()
    monkeypatch.setitem(sys.modules, engines.RTX_MODULE, trt)  # memory suffices to read a graph
    lines = run("build", install.models, "--preflight").stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["reads", "skipped"]


def test_another_largest_batch_says_what_the_server_must_be_told(install: Install, run: Run, trt: FakeTensorRT) -> None:
    result = run("build", install.add_bundle(), "--max-batch", "16")
    assert result.exit_code == 0
    assert "ONSIGHT_BATCH_SIZES=1,8,16" in result.stderr
    serve(install, trt, (1, 8, 16))
    assert len(trt.builds) == 1
    assert "batches of [1, 8, 16], here [1, 8, 32, 64]" in run("list").stdout
    assert "fits this machine" in run("list", batch_sizes="1,8,16").stdout


def test_the_list_names_what_the_seal_vouches_for(install: Install, run: Run) -> None:
    assert "No engine has been built yet" in run("list").stderr
    assert (run("list", "--json").stdout, run("list", "--json").stderr) == ("[]\n", "")
    run("build", install.add_bundle())
    line = run("list").stdout
    assert line.startswith("colours 1  fp32  NVIDIA L4  TensorRT 11.4.0.106  ")
    assert line.endswith("fits this machine\n")
    (document,) = json.loads(run("list", "--json").stdout)
    assert (document["model"], document["fits"], document["reason"]) == ("colours", True, None)
    assert document["batch_sizes"] == [1, 8, 32, 64]
    assert document["size_bytes"] > 0
    sidecar = install.home.path / CACHE_FOLDER / f"{document['name']}.json"
    sidecar.write_text(sidecar.read_text().replace('"colours"', '"another"'))
    (document,) = json.loads(run("list", "--json").stdout)
    assert (document["model"], document["fits"]) == (None, False)
    assert "its seal is not of this install" in document["reason"]


@pytest.mark.parametrize(
    ("probe", "reason"),
    [
        (DeviceProbe((L4,), "590.1", "13.1"), "driver 580.82.07, here 590.1"),
        (DeviceProbe((replace(L4, name="NVIDIA T4"),), "580.82.07", "13.1"), "GPU NVIDIA L4, here NVIDIA T4"),
        (DeviceProbe((replace(L4, name="NVIDIA T4"), replace(L4, index=1)), "580.82.07", "13.1"), None),
        (DeviceProbe(reason="the driver crashed"), "no GPU here: the driver crashed"),
    ],
)
def test_what_does_not_fit_says_why(
    install: Install, run: Run, monkeypatch: pytest.MonkeyPatch, probe: DeviceProbe, reason: str | None
) -> None:
    run("build", install.add_bundle())
    monkeypatch.setattr(engines, "probe_devices", lambda: probe)
    (document,) = json.loads(run("list", "--json").stdout)
    assert document["fits"] is (reason is None)
    assert (reason or "") in (document["reason"] or "")


def test_clearing_removes_what_does_not_fit_or_everything(
    install: Install, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("build", install.add_bundle())
    run("build", install.models, batch_sizes="1,2")
    assert run("clear").exit_code == 2
    assert run("clear", "--unusable", "--yes").exit_code == 0
    (left,) = json.loads(run("list", "--json").stdout)
    assert left["batch_sizes"] == [1, 8, 32, 64]
    monkeypatch.setattr(engines, "probe_devices", lambda: DeviceProbe(reason="it is broken today"))
    refused = run("clear", "--unusable", "--yes")
    assert refused.exit_code == 1
    assert "it is broken today: so nothing can be said" in refused.stderr
    assert run("clear", "--all").exit_code == 1  # nobody said yes
    assert len(json.loads(run("list", "--json").stdout)) == 1
    assert run("clear", "--all", "--yes").exit_code == 0
    folder = install.home.path / CACHE_FOLDER
    assert [path.name for path in folder.iterdir() if not path.name.startswith("lock-")] == []


def test_without_a_gpu_it_says_what_was_looked_for_and_what_was_found(
    install: Install, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask_the_real_driver() -> DeviceProbe:
        return probe_devices(environ={"CUDA_VISIBLE_DEVICES": ""})  # no device, also where there is one

    monkeypatch.setattr(engines, "probe_devices", ask_the_real_driver)
    result = run("build", install.add_bundle())
    assert (result.exit_code, result.stdout) == (1, "")
    assert "no GPU: looked for device 0 of the NVIDIA driver (libcuda.so.1), found " in result.stderr
    assert "--preflight" in result.stderr
    monkeypatch.setattr(engines, "RTX_MODULE", "a_module_that_is_not_there")
    assert "which is not installed: pip install tensorrt-rtx" in run("build", install.add_bundle()).stderr
    assert not (install.home.path / CACHE_FOLDER).exists()


def test_a_missing_tensorrt_is_told_as_it_is(install: Install, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def none_here() -> None:
        raise ProviderMismatch("TensorRT: expected its Python package, found none.")

    run("build", install.add_bundle())
    monkeypatch.setattr(engines, "load_tensorrt", none_here)
    assert "expected its Python package" in run("list").stdout


def test_the_preflight_reads_graphs_without_a_gpu_or_tells_what_the_parser_says(
    install: Install, run: Run, trt: FakeTensorRT, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = install.add_bundle()
    monkeypatch.setattr(engines, "RTX_MODULE", "no_such_parser")
    missing = run("build", path, "--preflight")
    assert missing.exit_code == 1
    assert "pip install tensorrt-rtx-cu13" in missing.stderr
    trt.gpu.make_current()  # the real parser needs no device
    monkeypatch.setitem(sys.modules, "no_such_parser", trt)
    assert run("build", path, "--preflight").stdout == "reads   colours 1 fp32: the parser has no complaint\n"
    trt.unsupported = {"ReduceMean"}
    refused = run("build", path, "--preflight")
    assert refused.exit_code == 1
    assert "node 1 (ReduceMean, UNSUPPORTED_NODE)" in refused.stdout
    assert not trt.builds


def test_a_cache_of_no_size_is_refused(install: Install, run: Run) -> None:
    result = run("build", install.add_bundle(), engine_cache_bytes="0")
    assert result.exit_code == 2
    assert "ONSIGHT_ENGINE_CACHE_BYTES" in result.stderr


def test_an_engine_that_cannot_be_kept_is_a_failure(install: Install, run: Run) -> None:
    result = run("build", install.add_bundle(), engine_cache_bytes="10")
    assert result.exit_code == 1
    assert "could not be kept" in result.stdout
