"""Fixtures of the tests that need an NVIDIA GPU: the device, or the reason why there is none."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "server"))  # engine_rig, running_server

from engine_rig import Rig, engine_rig

from bundle.archive import read_archive
from bundle.manifest import Manifest, parse_manifest
from server.engines.device_memory import LIBRARIES, DeviceMemory, open_device_memory
from server.engines.device_probe import Device, DeviceProbe, probe_devices
from server.engines.providers import CUDA, TENSORRT
from server.engines.tensorrt.library import load_tensorrt
from server.errors import ProviderMismatch
from server.models.loader import choose_variant


@pytest.fixture(scope="session")
def probe() -> DeviceProbe:
    found = probe_devices()
    if not found.devices:
        pytest.skip(f"needs an NVIDIA GPU: {found.reason}")
    return found


@pytest.fixture(scope="session")
def gpu(probe: DeviceProbe) -> Device:
    return probe.devices[0]


@pytest.fixture(scope="session")
def cuda(gpu: Device) -> str:
    import onnxruntime as ort

    if CUDA not in ort.get_available_providers():
        pytest.skip("needs the extra 'gpu' (onnxruntime-gpu) in place of 'server'")
    return CUDA


@pytest.fixture(scope="session")
def tensorrt(gpu: Device, probe: DeviceProbe) -> str:
    try:
        load_tensorrt()
        open_device_memory(probe, gpu.index)
    except ProviderMismatch as error:
        pytest.skip(str(error))
    return TENSORRT


@pytest.fixture(params=["cuda", "tensorrt"])
def provider(request: pytest.FixtureRequest) -> str:
    """Each provider of a GPU that is installed."""
    name: str = request.getfixturevalue(request.param)
    return name


@pytest.fixture(params=[name for name, _ in LIBRARIES])
def memory(request: pytest.FixtureRequest, probe: DeviceProbe) -> DeviceMemory:
    """Each library that can make the calls."""
    try:
        return open_device_memory(probe, 0, [each for each in LIBRARIES if each[0] == request.param])
    except ProviderMismatch as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def model(gpu: Device, request: pytest.FixtureRequest) -> tuple[Manifest, bytes]:
    """A trained and exported network, with convolutions. By name: it is made only where there is a GPU."""
    files = read_archive(request.getfixturevalue("single_bundle"))
    manifest = parse_manifest(files["manifest.json"])
    return manifest, files[choose_variant(manifest).file]


@pytest.fixture
def start_rig(tmp_path: Path) -> Iterator[Callable[[str], Rig]]:
    """Start an engine process on the first device, as a server does: start_rig(provider)."""
    with ExitStack() as stack:
        yield lambda provider: stack.enter_context(
            engine_rig(
                builder="server.engines.factory:hosted_engines", providers=(provider,), home=tmp_path / "home",
                batch_sizes=(1, 8, 32), lanes=2, timeout_s=60.0,
            )
        )  # fmt: skip
