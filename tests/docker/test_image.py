"""The image: built by buildah from this machine's own Python with no network, then run as it says of itself."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from built_image import ROOT, Buildah, Image, copy_context, first_process, inspect_image, why_not_here
from color_bundle import RED
from running_server import Install, RunningServer, free_port

USER = 10001

needs_buildah = pytest.mark.skipif(bool(why_not_here()), reason=why_not_here() or "-")


@pytest.fixture(scope="session")
def buildah(tmp_path_factory: pytest.TempPathFactory) -> Buildah:
    made = Buildah(tmp_path_factory.mktemp("buildah"))
    made.make_base("localhost/base")
    return made


@pytest.fixture(scope="session")
def context(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("context")
    copy_context(folder)
    return folder


@pytest.fixture(scope="session")
def image(buildah: Buildah, context: Path) -> Iterator[Image]:
    buildah.build(context, "localhost/base", "localhost/onsight")
    container = buildah("from", "localhost/onsight")
    root = Path(buildah("mount", container))
    yield Image(root, inspect_image(buildah, "localhost/onsight")["config"])
    buildah("umount", container)
    buildah("rm", container)


@pytest.fixture
def volumes(new_install: Callable[[], Install]) -> Install:
    """An install as two volumes: the home belongs to the image's user, the models to somebody else."""
    install = new_install()
    os.chown(install.home.path.parent, USER, USER)
    for path in (install.home.path, *install.home.path.rglob("*")):
        os.chown(path, USER, USER)
    for folder in (install.models, *install.models.parents):
        if folder.stat().st_uid == os.geteuid() and folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o055)
    return install


def finish(image: Image, install: Install, log: Path, *arguments: str, port: int = 8000) -> int:
    """One command in the image; its exit code."""
    environment = {"ONSIGHT_PORT": str(port)}
    return image.start(install.home.path, install.models, list(arguments), environment, log).wait(60)


@needs_buildah
@pytest.mark.slow
def test_the_image_serves_as_a_user_without_rights_on_a_read_only_root(
    image: Image, volumes: Install, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    assert finish(image, volumes, log, "serve") == 1
    assert "there is no token yet" in log.read_text(), "a server that anybody could reach must not start"
    assert finish(image, volumes, log, "token", "create", "app") == 0
    token = next(line for line in log.read_text().splitlines() if line.startswith("onsight_"))

    port = free_port()
    settings = {"ONSIGHT_PORT": str(port), "ONSIGHT_WORKERS": "1", "ONSIGHT_DRAIN_S": "5"}
    process = image.start(volumes.home.path, volumes.models, None, settings, log)
    server = RunningServer(port, process, log)
    try:
        server.wait_for_status(200, 60)
        answer = server.ask("POST", "/api/predict/default/colours", RED, token)
        assert (answer.status, answer.json[0]["label"]) == (200, "red"), log.read_text()
        assert finish(image, volumes, log, "health", port=port) == 0, "the health check of the image"
        first = first_process(process)
        _runs_without_rights_on_a_read_only_root(first)
        os.kill(first, signal.SIGTERM)
        server.wait_for_status(503)
        assert finish(image, volumes, log, "health", port=port) == 1, "it drains"
        assert process.wait(60) == 0, log.read_text()
    finally:
        process.kill()
        process.wait()
    lines = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    assert any(line.get("event") == "serving" or line.get("message") == "serving" for line in lines), log.read_text()


@needs_buildah
@pytest.mark.slow
def test_the_image_says_how_to_run_it_and_holds_nothing_that_builds(image: Image) -> None:
    config = image.config
    assert config["User"] == f"{USER}:{USER}"
    assert config["StopSignal"] == "SIGTERM"
    assert config["Healthcheck"]["Test"] == ["CMD", "onsight", "health"]
    assert (config["Entrypoint"], config["Cmd"]) == (["onsight"], ["serve"]), "no shell between the signals and us"
    assert config["Volumes"] == {"/var/lib/onsight": {}}
    packages = {path.name for path in image.root.glob("opt/onsight/lib/python3*/site-packages/*")}
    assert {"server", "onnxruntime", "bundle"} <= packages
    assert not {"pip", "setuptools", "torch", "pytest"} & packages
    assert not [path for path in (image.root / "build", image.root / "wheelhouse") if path.exists()]
    home = (image.root / "var/lib/onsight").stat()
    assert (home.st_uid, home.st_mode & 0o777) == (USER, 0o700)
    writable = [path for path in (image.root / "opt").rglob("*") if path.lstat().st_uid == USER]
    assert not writable, "what the server runs is not its own to change"


@needs_buildah
@pytest.mark.slow
def test_the_studios_image_serves_pages_and_prints_the_link_that_makes_the_first_user(
    buildah: Buildah, context: Path, volumes: Install, tmp_path: Path
) -> None:
    buildah.build(context, "localhost/base", "localhost/studio", target="studio", EXTRAS="studio")
    container = buildah("from", "localhost/studio")
    log, port = tmp_path / "log", free_port()
    image = Image(Path(buildah("mount", container)), inspect_image(buildah, "localhost/studio")["config"])
    settings = {"ONSIGHT_STUDIO_PORT": str(port), "ONSIGHT_STUDIO_JOB_WORKERS": "0"}
    process = image.start(volumes.home.path, volumes.models, None, settings, log)
    server = RunningServer(port, process, log)
    try:
        server.wait_for_status(200, 60)
        assert b'id="root"' in server.ask("GET", "/").body
        assert f"http://localhost:{port}/setup#" in log.read_text()
        own = [part.replace("8080", str(port)) for part in image.config["Healthcheck"]["Test"][1:]]
        check = {**image.config, "Entrypoint": [], "Cmd": own}
        asks = Image(image.root, check)
        assert asks.start(volumes.home.path, volumes.models, None, settings, log).wait(60) == 0, log.read_text()
        os.kill(first_process(process), signal.SIGTERM)
        assert process.wait(60) == 0, log.read_text()
        assert asks.start(volumes.home.path, volumes.models, None, settings, log).wait(60) == 1
    finally:
        process.kill()
        process.wait()
        buildah("umount", container)
        buildah("rm", container)


@needs_buildah
@pytest.mark.slow
def test_an_unknown_runtime_ends_the_build_and_says_what_was_expected(buildah: Buildah, context: Path) -> None:
    with pytest.raises(AssertionError, match="RUNTIME: expected server or gpu, found tpu"):
        buildah.build(context, "localhost/base", "localhost/tpu", RUNTIME="tpu")


def test_the_build_context_holds_every_package_of_the_wheel() -> None:
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert set(wheel["packages"]) <= allowed


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="needs a checkout")
def test_a_wheelhouse_is_never_committed() -> None:
    ignored = subprocess.run(["git", "check-ignore", "wheelhouse/x.whl"], cwd=ROOT, capture_output=True, check=False)
    assert ignored.returncode == 0


def _runs_without_rights_on_a_read_only_root(pid: int) -> None:
    status = dict(
        line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line
    )
    assert set(status["Uid"].split()) == {str(USER)}
    assert set(status["Gid"].split()) == {str(USER)}
    assert int(status["CapEff"], 16) == 0
    assert status["NSpid"].split()[-1] == "1", "it takes signals and buries its dead as the first process"
    mounts = Path(f"/proc/{pid}/mounts").read_text().splitlines()
    flags = {line.split()[1]: line.split()[3].split(",") for line in mounts}
    assert "ro" in flags["/"]
    assert "ro" in flags["/models"]
    assert "rw" in flags["/var/lib/onsight"]
