"""Both Python clients against the real server: every call, many images, threads, and what ends early."""

from __future__ import annotations

import asyncio
import io
import json
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from both_clients import Connect
from color_bundle import BLUE, GREEN, RED
from running_server import Install, Served, free_port, running
from scripted_server import scripted

from bundle.in_order import AHEAD
from onsight import AsyncClient, Client, ClientError, ImageResult, NoAnswer, Refused, Unavailable

COLOURS = {"red": RED, "green": GREEN, "blue": BLUE}


def labels_of(results: list[ImageResult]) -> list[tuple[str, ...]]:
    return [() if result.prediction is None else result.prediction.labels for result in results]


def test_a_prediction_says_everything_and_becomes_json(connect: Connect, served: Served) -> None:
    client = connect(served.server.url, served.token, model="colours")
    found = client.predict(GREEN, top=2)
    assert (found.labels, found.unknown, found.best.label) == (("green",), False, "green")
    assert (found.project, found.model, found.version, found.task) == ("default", "colours", "1", "single_label")
    assert [score.above for score in found.scores] == [True, False]
    assert found.scores[0].probability > 0.9 > found.scores[0].threshold == 0.5
    assert found.timings.total_ms >= found.timings.decode_ms > 0
    assert found.request_id
    document = json.loads(json.dumps(found.as_dict()))
    assert document["scores"][0] == {
        "label": "green", "probability": found.best.probability, "threshold": 0.5, "above": True
    }  # fmt: skip
    with pytest.raises(AttributeError):
        found.labels = ()
    assert len(client.predict(GREEN).scores) == 3


def test_an_image_may_be_bytes_a_path_a_file_or_pixels(connect: Connect, served: Served, tmp_path: Path) -> None:
    client = connect(served.server.url, served.token, model="colours")
    path = tmp_path / "green.png"
    path.write_bytes(GREEN)
    pixels = np.full((48, 64, 3), (20, 220, 20), np.uint8)
    expected = client.predict(GREEN).scores
    for image in (bytearray(GREEN), path, str(path), io.BytesIO(GREEN), pixels):
        assert client.predict(image).scores == expected


def test_a_model_is_found_by_name_by_project_and_by_its_own_address(connect: Connect, served: Served) -> None:
    url = served.server.url
    for client in (
        connect(url, served.token, model="shop/goods"),
        connect(f"{url}/api/predict/shop/goods/", served.token),
        connect(f"{url}/v1/predict/shop/goods", served.token),
    ):
        assert (client.predict(RED).project, client.predict(RED).model) == ("shop", "goods")
        assert client.predict(RED, model="colours").model == "colours"
        with pytest.raises(Refused, match="version") as caught:
            client.predict(RED, version="9")
        assert caught.value.status == 404


def test_the_only_model_needs_no_name_and_several_do(connect: Connect, served: Served, big_served: Served) -> None:
    assert connect(big_served.server.url, big_served.token).predict(RED).labels == ("red",)
    with pytest.raises(ClientError, match=r"the server has default/colours, shop/goods\. Name it"):
        connect(served.server.url, served.token).predict(RED)


def test_models_and_their_description_are_typed(connect: Connect, served: Served) -> None:
    client = connect(served.server.url, served.token, model="shop/goods")
    assert {f"{model.project}/{model.name}" for model in client.models()} == {"default/colours", "shop/goods"}
    found = client.describe()
    assert (found.summary.name, found.summary.label_count) == ("goods", 3)
    assert (found.summary.providers, found.summary.device) == (("CPUExecutionProvider",), "CPU")
    assert [(each.label, each.threshold) for each in found.labels] == [("red", 0.5), ("green", 0.5), ("blue", 0.5)]
    assert found.metrics["test"]["accuracy"]["value"] == 1.0
    assert client.describe("colours").summary.name == "colours"
    json.dumps(found.as_dict())


def test_health_needs_no_token_and_waiting_ends_when_the_model_is_there(connect: Connect, served: Served) -> None:
    client = connect(served.server.url)
    assert client.ready() is True
    found = client.health()
    assert (found.ready, found.status) == (True, "ready")
    assert {each.name for each in found.models} == {"colours", "goods"}
    assert client.wait_until_ready(30, "shop/goods") == client.health()
    with pytest.raises(Unavailable, match="found it ready, without the model default/absent"):
        client.wait_until_ready(0.3, "absent")
    nobody = connect(f"http://127.0.0.1:{free_port()}")
    assert nobody.ready() is False
    with pytest.raises(NoAnswer, match="Connection refused"):
        nobody.health()
    with pytest.raises(Unavailable, match=r"ready in 0\.3 s, found this: .*Connection refused"):
        nobody.wait_until_ready(0.3)


@pytest.mark.slow
def test_a_server_that_just_starts_is_waited_for(connect: Connect, install: Install, tmp_path: Path) -> None:
    install.add_bundle()
    token = install.add_token()
    with running(install, tmp_path) as server:
        client = connect(server.url, token)
        assert client.wait_until_ready().ready
        assert client.predict(BLUE).labels == ("blue",)


def test_a_refusal_carries_status_code_and_request_id(connect: Connect, served: Served) -> None:
    with pytest.raises(Refused) as caught:
        connect(served.server.url, "wrong", model="colours").predict(RED)
    assert (caught.value.status, caught.value.code) == (401, "TOKEN_INVALID")
    assert caught.value.request_id
    client = connect(served.server.url, served.token, model="colours")
    for data, status, code in (
        (b"no image", 415, "IMAGE_UNSUPPORTED"),
        (b"", 400, "IMAGE_EMPTY"),
        (b"\x89PNG" + bytes(400_000), 413, "IMAGE_TOO_MANY_BYTES"),
    ):
        with pytest.raises(ClientError) as caught:
            client.predict(data)
        assert (caught.value.status, caught.value.code) == (status, code)
        assert client.predict(RED).labels == ("red",)


def test_proxies_of_the_environment_are_not_used(
    connect: Connect, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    assert connect(served.server.url, served.token, model="colours").predict(RED).labels == ("red",)


def test_many_images_come_in_order_and_one_that_cannot_be_read_is_a_result_too(
    connect: Connect, served: Served, tmp_path: Path
) -> None:
    (tmp_path / "green.png").write_bytes(GREEN)
    (tmp_path / "text.jpg").write_text("no image")
    client = connect(served.server.url, served.token, model="colours")
    images = [RED, tmp_path / "green.png", str(tmp_path / "text.jpg"), tmp_path / "absent.png", tmp_path, b"", BLUE]
    results = list(client.predict_many(images, concurrency=3, top=1))
    assert [result.index for result in results] == list(range(7))
    assert [Path(result.name).name for result in results] == [
        "", "green.png", "text.jpg", "absent.png", tmp_path.name, "", ""
    ]  # fmt: skip
    assert labels_of(results) == [("red",), ("green",), (), (), (), (), ("blue",)]
    assert [result.error.code for result in results if result.error is not None] == [
        "IMAGE_UNSUPPORTED", "IMAGE_UNREADABLE", "IMAGE_UNREADABLE", "IMAGE_EMPTY"
    ]  # fmt: skip
    for result in results:
        document = json.loads(json.dumps(result.as_dict()))
        assert ("error" in document) is (result.error is not None)
        assert ("labels" in document) is (result.prediction is not None)


def test_an_error_that_every_image_would_have_ends_the_batch(connect: Connect, served: Served) -> None:
    client = connect(served.server.url, "wrong", model="colours")
    with pytest.raises(Refused, match="token"):
        list(client.predict_many([RED] * 100))
    client = connect(served.server.url, served.token, model="colours")
    with pytest.raises(TypeError, match="found NoneType"):
        list(client.predict_many([RED, None]))


def test_of_very_many_images_only_a_few_are_held_at_a_time(served: Served) -> None:
    taken = 0

    def images() -> Iterator[bytes]:
        nonlocal taken
        for number in range(600):
            taken += 1
            yield list(COLOURS.values())[number % 3]

    async def with_asyncio() -> list[ImageResult]:
        async with AsyncClient(served.server.url, served.token, model="colours") as client:
            results = []
            async for result in client.predict_many(images(), concurrency=4):
                assert taken <= len(results) + 4 * AHEAD
                results.append(result)
            return results

    with Client(served.server.url, served.token, model="colours") as client:
        results = []
        for result in client.predict_many(images(), concurrency=4):
            assert taken <= len(results) + 4 * AHEAD
            results.append(result)
    expected = [(label,) for label in COLOURS] * 200
    assert labels_of(results) == expected
    taken = 0
    assert labels_of(asyncio.run(with_asyncio())) == expected


def test_a_source_that_waits_for_its_images_holds_no_earlier_result_back() -> None:
    seen: list[str] = []

    def camera() -> Iterator[bytes]:
        for _ in range(600):  # of the 800 that are held where nothing is given before
            yield b"x"
            if seen:
                return
            time.sleep(0.05)

    async def on_the_loop() -> AsyncIterator[bytes]:
        for image in camera():
            yield image
            await asyncio.sleep(0.01)

    async def with_asyncio(url: str) -> None:
        async with AsyncClient(url, model="m") as client:
            async for result in client.predict_many(on_the_loop(), concurrency=100):
                seen.append(f"asyncio {result.index}")

    with scripted() as server:
        with Client(server.url, model="m") as client:
            for result in client.predict_many(camera(), concurrency=100):
                seen.append(f"threads {result.index}")
        assert len(seen) < 600
        seen.clear()
        asyncio.run(with_asyncio(server.url))
        assert len(seen) < 600


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("terminal", "wanted"), [(True, True), (True, False), (False, True)])
def test_a_bar_is_shown_where_it_is_asked_for_and_a_terminal_is_there(
    terminal: bool, wanted: bool, connect: Connect, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    stderr = Terminal() if terminal else io.StringIO()
    monkeypatch.setattr(sys, "stderr", stderr)
    client = connect(served.server.url, served.token, model="colours")
    assert len(list(client.predict_many([RED] * 12, progress=wanted))) == 12
    assert ("12/12" in stderr.getvalue()) is (terminal and wanted)
    assert len(list(client.predict_many((image for image in [RED] * 12), progress=wanted))) == 12
    assert ("12 images" in stderr.getvalue()) is (terminal and wanted)


def test_threads_share_one_client(served: Served) -> None:
    wrong: list[Any] = []
    with Client(served.server.url, served.token, model="colours") as client:

        def ask(label: str) -> None:
            for _ in range(25):
                try:
                    found = client.predict(COLOURS[label]).labels
                except Exception as error:
                    found = error
                if found != (label,):
                    wrong.append(found)

        threads = [threading.Thread(target=ask, args=(label,)) for label in [*COLOURS] * 4]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == []


def test_a_batch_that_nobody_reads_to_its_end_leaves_no_thread_and_no_trouble(served: Served) -> None:
    with Client(served.server.url, served.token, model="colours") as client:
        with closing(client.predict_many(RED for _ in range(10_000))) as results:
            assert next(results).prediction is not None
        assert not [thread for thread in threading.enumerate() if thread.name.startswith("onsight-client")]
        assert client.predict(RED).labels == ("red",)


def test_a_cancelled_asynchronous_batch_leaves_no_task_and_the_client_goes_on(served: Served) -> None:
    async def scenario() -> None:
        first = asyncio.Event()
        async with AsyncClient(served.server.url, served.token, model="colours") as client:

            async def read() -> None:
                async for _ in client.predict_many([GREEN] * 10_000, concurrency=4):
                    first.set()

            reading = asyncio.create_task(read())
            await first.wait()
            reading.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reading
            results = client.predict_many([GREEN] * 10_000)
            assert (await anext(results)).prediction is not None
            await results.aclose()
            assert asyncio.all_tasks() == {asyncio.current_task()}
            for _ in range(20):
                waiting = asyncio.create_task(client.predict(BLUE))
                await asyncio.sleep(0)
                waiting.cancel()
            assert (await client.predict(BLUE)).labels == ("blue",)

    asyncio.run(scenario())


def test_a_closed_client_says_so(connect: Connect, served: Served) -> None:
    with Client(served.server.url, served.token, model="colours") as client:
        client.predict(RED)
    with pytest.raises(ClientError, match="expected an open client, found it closed"):
        client.predict(RED)

    async def scenario() -> None:
        async with AsyncClient(served.server.url, served.token, model="colours") as client:
            await client.predict(RED)
        with pytest.raises(ClientError, match="expected an open client, found it closed"):
            await client.predict(RED)

    asyncio.run(scenario())
