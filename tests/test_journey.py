"""The protected journey: label -> train -> export -> verify -> serve -> predict, with nothing but what a user has.

Installed commands in processes of their own, a real Gunicorn, and a request as curl would send it.
"""

from __future__ import annotations

import csv
import http.client
import io
import json
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from onsight_process import command_environment
from onsight_server import SCRIPT, onsight_serve
from tiny_runs import write_class_folders, write_labelled_images

from bundle.load import load_bundle
from bundle.trust import TrustStore

pytestmark = pytest.mark.slow


class User:
    """Someone at a terminal, in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / "home"

    def types(self, *arguments: object) -> str:
        """Run `onsight ARGUMENTS`, which must succeed; returns what it printed on stdout."""
        found = subprocess.run(
            [SCRIPT, *map(str, arguments)], cwd=self.folder, env=command_environment(self.home), capture_output=True,
            text=True,
        )  # fmt: skip
        assert found.returncode == 0, found.stderr
        return found.stdout

    def posts(self, url: str, image: bytes, token: str | None) -> tuple[int, object]:
        """curl -H 'X-Auth-token: TOKEN' --data-binary @image URL"""
        parts = urlsplit(url)
        connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=30)
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "*/*", "User-Agent": "curl/8.5.0"}
        connection.request("POST", parts.path, image, headers | ({"X-Auth-token": token} if token else {}))
        response = connection.getresponse()
        status, document = response.status, json.loads(response.read())
        connection.close()
        return status, document


@pytest.mark.parametrize("labels", ["class folders", "a label file"])
def test_from_labelled_images_to_the_same_answer_everywhere(labels: str, tmp_path: Path) -> None:
    user = User(tmp_path)

    # label
    if labels == "class folders":
        images = write_class_folders(tmp_path / "photos")
        given: list[object] = [images]
    else:
        labels_file = write_labelled_images(tmp_path)
        images = tmp_path / "images"
        given = [images, "--labels", labels_file]

    # train
    trained = json.loads(
        user.types(
            "train", *given, "--out", "run", "--test", "0.2", "--from-scratch", "--size", "16", "--hidden-units", "16",
            "--batch-size", "8", "--epochs", "20", "--threads", "1", "--augmentation", "none", "--json",
        )
    )  # fmt: skip
    headline = "accuracy" if labels == "class folders" else "mean_average_precision"
    assert trained["metrics"]["test"][headline] > 0.8
    assert (tmp_path / "run" / "report.html").is_file()

    # export, into the folder that is served
    exported = json.loads(user.types("export", "run", "--out", "models/shapes.onsight", "--json"))
    bundle = tmp_path / "models" / "shapes.onsight"

    # verify
    loaded = load_bundle(bundle, TrustStore(user.home / "trust"))
    assert loaded.key_id == exported["key_id"]
    assert loaded.manifest.model_id == exported["model_id"]
    assert list(loaded.manifest.labels) == trained["labels"]

    # predict here
    table = user.types("predict", bundle, images)
    here = {row["file"]: row for row in csv.DictReader(io.StringIO(table))}
    assert len(here) == len(list(images.rglob("*.png")))

    # serve, and predict there: with the command, and as curl would
    token = user.types("token", "create", "journey").strip()
    with onsight_serve(tmp_path / "models", user.home) as url:
        asked = user.types("predict", "shapes", images, "--server", url, "--token", token, "--json")
        for entry in json.loads(asked):
            assert "|".join(entry["labels"]) == here[entry["file"]]["labels"]
            assert str(entry["unknown"]).lower() == here[entry["file"]]["unknown"]
            assert_same(entry["scores"], here[entry["file"]])
        address = f"{url}/api/predict/default/shapes"
        for file in list(here)[:: max(1, len(here) // 12)]:
            status, answer = user.posts(address, (images / file).read_bytes(), token)
            assert status == 200, answer
            assert_same(answer, here[file])
        assert user.posts(address, (images / file).read_bytes(), None)[0] == 401
        assert user.posts(address, b"no image", token)[0] in (400, 415, 422)


def assert_same(answer: object, row: dict[str, str]) -> None:
    """The cloud's list of labels with scores 0 to 100, highest first, against a row of the table."""
    assert isinstance(answer, list)
    assert [set(entry) for entry in answer] == [{"label", "score"}] * 3
    scores = [entry["score"] for entry in answer]
    assert scores == sorted(scores, reverse=True)
    for entry in answer:
        assert entry["score"] == pytest.approx(float(row[f"score:{entry['label']}"]), abs=1e-3)
