"""A sealed bundle over a real server: it answers, nothing of it is on a disk in plain, and it opens here alone."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from color_bundle import RED, color_graph, seal
from conftest import Serve
from running_server import Install, RunningServer

from licenses.identity import FILE_NAME, InstallIdentity


def plain_copies(*folders: Path) -> list[Path]:
    """Files that hold the graph's own bytes, or the names and the weights that an optimised form of it holds."""
    marks = (color_graph(), b"probabilities")
    found = []
    for folder in folders:
        for root, _, names in os.walk(folder):
            for name in names:
                path = Path(root, name)
                if path.is_file() and any(mark in path.read_bytes() for mark in marks):
                    found.append(path)
    return found


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The system's temporary folder of everything that this test starts."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    return folder


def answer(server: RunningServer, token: str) -> int:
    return server.ask("POST", "/api/predict/default/colours", RED, token).status


@pytest.mark.parametrize("arrangement", ["in_process", "engine_process"])
def test_a_sealed_bundle_serves_and_leaves_no_plain_byte_on_a_disk(
    install: Install, serve: Serve, temporary: Path, arrangement: str
) -> None:
    identity = InstallIdentity.load_or_create(install.home.licenses_dir)
    path = install.add_bundle()
    assert plain_copies(install.models) == [path]  # what is looked for is found where it is
    seal(path, identity)
    token = install.add_token("test")
    server = serve(arrangement=arrangement, workers="2")
    server.wait_for_status(200)
    server.wait_for_workers(token)
    assert answer(server, token) == 200
    kept = list((install.home.path / "serving").rglob("*.onsight"))
    assert [each.read_bytes() for each in kept] == [path.read_bytes()]  # the server's own copy is as sealed
    assert plain_copies(install.home.path, install.models, temporary) == []
    path.write_bytes(b"PK\x03\x04 damaged")
    assert server.stop() == 0
    again = serve(arrangement=arrangement)
    again.wait_for_status(200)
    assert answer(again, token) == 200  # from the copy
    assert plain_copies(install.home.path, temporary) == []


def test_a_plain_bundle_does_leave_the_shared_graph_on_the_disk(install: Install, serve: Serve) -> None:
    install.add_bundle()
    serve().wait_for_status(200)
    assert plain_copies(install.home.path / "run")  # so that the search above could find it


def test_a_bundle_for_another_install_is_set_aside_with_its_reason_and_the_others_serve(
    install: Install, serve: Serve, tmp_path: Path
) -> None:
    install.add_bundle()
    other = InstallIdentity.load_or_create(tmp_path / "other")
    InstallIdentity.load_or_create(install.home.licenses_dir)
    seal(install.add_bundle("theirs.onsight", name="theirs"), other)
    token = install.add_token("test")
    server = serve()
    ready = server.wait_for_status(200)
    assert ready.json["failed"] == [{"project": "default", "code": "BUNDLE_RECIPIENT"}]
    failed = server.ask("GET", "/v1/models", token=token).json["failed"]
    assert other.install_id in failed[0]["reason"]
    assert "onsight export --for" in failed[0]["reason"]


def test_an_identity_that_comes_later_opens_what_waited_for_it(install: Install, serve: Serve, tmp_path: Path) -> None:
    identity = InstallIdentity.load_or_create(tmp_path / "moved")
    seal(install.add_bundle(), identity)
    server = serve(watch_interval_s="0.1")
    assert server.wait_for_status(503)
    install.home.licenses_dir.mkdir(exist_ok=True)
    (tmp_path / "moved" / FILE_NAME).rename(install.home.licenses_dir / FILE_NAME)
    server.wait_for_status(200)


def test_a_damaged_identity_is_told_of_without_its_path(install: Install, serve: Serve) -> None:
    seal(install.add_bundle(), InstallIdentity.load_or_create(install.home.licenses_dir))
    (install.home.licenses_dir / FILE_NAME).write_bytes(b"{}")
    token = install.add_token("test")
    server = serve()
    server.wait_for_status(503)
    end = 200
    while not (failed := server.ask("GET", "/v1/models", token=token).json["failed"]) and (end := end - 1):
        pass
    assert failed[0]["code"] == "INSTALL_IDENTITY"
    assert str(install.home.path) not in failed[0]["reason"]
    assert str(install.home.path) in server.log
