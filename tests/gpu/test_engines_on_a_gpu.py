"""What runs on a real GPU gives what the CPU gives, at every batch size, also from a cache and through a process."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from color_bundle import RED
from engine_rig import Rig
from numpy.typing import NDArray
from running_server import Install, children, running

from bundle.home import OnsightHome
from bundle.keys import SigningKey
from bundle.manifest import Manifest
from bundle.trust import TrustStore
from server.engines.device_memory import DeviceMemory
from server.engines.device_probe import Device
from server.engines.factory import EngineBuilder, EngineOptions
from server.engines.process.arrangement import LOAD_TIMEOUT_S
from server.engines.process.staging import new_staging
from server.engines.protocol import Engine, Scores
from server.engines.providers import CPU, TENSORRT
from server.engines.tensorrt.provider import CACHE_FOLDER, KEY_FILE
from server.tokens import Scope

pytestmark = pytest.mark.gpu

BATCHES = (1, 2, 7, 32)
PROBABILITY_TOLERANCE = 1e-4
Model = tuple[Manifest, bytes]
Images = NDArray[np.uint8]


def images_of(manifest: Manifest, count: int, seed: int = 0) -> Images:
    spec = manifest.preprocessing
    return np.random.default_rng(seed).integers(0, 256, (count, spec.height, spec.width, 3), np.uint8)


def on_cpu(model: Model, images: Images) -> Scores:
    return build(model, CPU).infer(images)


def build(model: Model, provider: str, home: Path | None = None, said: list[str] | None = None) -> Engine:
    options = EngineOptions((provider,), batch_sizes=(1, 8, 32), home=home, engine_cache_bytes=1 << 30)
    return EngineBuilder(options).build(*model, (said if said is not None else []).append)


def check(found: Scores, wanted: Scores) -> None:
    assert found[0].shape == wanted[0].shape
    np.testing.assert_allclose(found[0], wanted[0], rtol=0, atol=PROBABILITY_TOLERANCE)
    np.testing.assert_allclose(found[1], wanted[1], rtol=1e-3, atol=1e-2)


def test_memory_goes_to_the_device_and_back(memory: DeviceMemory, gpu: Device) -> None:
    assert memory.device == gpu
    shape = (3, 1000)
    source, target = memory.pinned(shape, np.uint8), memory.pinned(shape, np.uint8)
    source[:] = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    address, stream = memory.allocate(source.nbytes), memory.new_stream()

    def copy() -> None:
        memory.make_current()
        memory.copy_in(address, source, stream)
        memory.copy_out(target, address, stream)
        memory.synchronize(stream)

    thread = threading.Thread(target=copy)  # any thread may
    thread.start()
    thread.join()
    np.testing.assert_array_equal(source, target)
    memory.free_stream(stream)
    memory.free(address)
    memory.free_pinned(source)
    memory.free_pinned(target)


def test_the_probabilities_are_those_of_the_cpu(provider: str, model: Model, gpu: Device, tmp_path: Path) -> None:
    engine = build(model, provider, tmp_path)
    assert engine.providers[0] == provider
    assert engine.device == gpu.name
    engine.warm_up()
    images = images_of(model[0], 100)
    wanted = on_cpu(model, images)
    staging = new_staging(engine, model[0], (1, 8, 32), fixed=True)
    for count in (*BATCHES, 7, 1):
        check(engine.infer(images[:count]), (wanted[0][:count], wanted[1][:count]))
        staging.put(0, list(images[:count]))
        check(staging.infer(count), (wanted[0][:count], wanted[1][:count]))
    check(engine.infer(images), wanted)
    engine.close()


def test_threads_at_once_get_their_own_answers(provider: str, model: Model, tmp_path: Path) -> None:
    engine = build(model, provider, tmp_path)
    images = images_of(model[0], 64)
    wanted = on_cpu(model, images)

    def ask(at: int) -> None:
        check(engine.infer(images[at : at + 5]), (wanted[0][at : at + 5], wanted[1][at : at + 5]))

    with ThreadPoolExecutor(8) as pool:
        for asked in [pool.submit(ask, at % 59) for at in range(200)]:
            asked.result()
    engine.close()


def test_a_second_start_takes_the_engine_from_the_cache(tensorrt: str, model: Model, tmp_path: Path) -> None:
    images = images_of(model[0], 7)
    wanted = on_cpu(model, images)
    said: list[str] = []
    check(build(model, tensorrt, tmp_path, said).infer(images), wanted)
    assert said[0].startswith("building the TensorRT engine")
    said.clear()
    check(build(model, tensorrt, tmp_path, said).infer(images), wanted)
    assert said == [], "it was built again"
    (plan,) = (each for each in (tmp_path / CACHE_FOLDER).glob("plan-*") if each.suffix != ".json")
    data = bytearray(plan.read_bytes())
    data[len(data) // 2] ^= 1
    plan.write_bytes(data)
    check(build(model, tensorrt, tmp_path, said).infer(images), wanted)
    assert said, "a plan that was changed came to TensorRT"
    said.clear()
    (tmp_path / KEY_FILE).chmod(0o644)
    check(build(model, tensorrt, tmp_path, said).infer(images), wanted)
    assert said, "a plan sealed with a key that all could read came to TensorRT"


def test_an_engine_process_answers_as_the_cpu_does_and_is_back_when_it_was_killed(
    provider: str, model: Model, gpu: Device, start_rig: Callable[[str], Rig]
) -> None:
    rig = start_rig(provider)
    engine: Any = rig.processes.factory()(*model)
    assert engine.providers[0] == provider
    assert engine.device == gpu.name
    images = images_of(model[0], 40)
    wanted = on_cpu(model, images)

    def ask(count: int) -> None:
        check(engine.infer(images[:count]), (wanted[0][:count], wanted[1][:count]))

    for _ in range(2):
        with ThreadPoolExecutor(4) as pool:
            for asked in [pool.submit(ask, count) for count in BATCHES * 10]:
                asked.result()
        os.kill(rig.pid, 9)
        rig.wait(lambda: not engine.ready, "its end is seen", 60)
        rig.wait(lambda: engine.ready, "it is back, from the cache", LOAD_TIMEOUT_S)


def test_a_server_serves_on_the_gpu_says_so_and_is_back_when_its_engine_process_was_killed(
    provider: str, gpu: Device, tmp_path: Path
) -> None:
    install = Install(OnsightHome(tmp_path / "home"), tmp_path / "models", SigningKey.generate())
    TrustStore(install.home.trust_dir).add(install.key.public_key, "test")
    install.add_bundle()
    token = install.add_token("test", Scope.PREDICT, Scope.METRICS)
    short = "tensorrt" if provider == TENSORRT else "cuda"
    with running(install, tmp_path, providers=short) as server:
        for _ in range(2):
            ready = server.wait_for_status(200, LOAD_TIMEOUT_S).json
            assert [(each["provider"], each["device"]) for each in ready["models"]] == [(provider, gpu.name)]
            listed = server.ask("GET", "/v1/models", token=token).json["models"]
            assert [(each["providers"][0], each["device"]) for each in listed] == [(provider, gpu.name)]
            assert f'provider="{provider}"' in server.ask("GET", "/metrics", token=token).body.decode()
            answer = server.ask("POST", "/api/predict/default/colours", RED, token)
            assert (answer.status, answer.json[0]["label"]) == (200, "red")
            (engine,) = children(server)[1]
            os.kill(engine, 9)
            end = time.monotonic() + LOAD_TIMEOUT_S
            while children(server)[1] in ([], [engine]):
                assert time.monotonic() < end, server.log
                time.sleep(0.05)
