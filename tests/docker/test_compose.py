"""The compose files, read by Docker Compose itself; and what one file says of another."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from nginx_process import TEMPLATE, VARIABLE
from running_server import ROOT

from server.settings import ServerSettings
from studio.settings import StudioSettings

COMPOSE = Path(sys.executable).parent / "docker-compose"
PLAIN, GPU = ROOT / "docker/compose.yaml", ROOT / "docker/compose.gpu.yaml"
STUDIO = ROOT / "docker/compose.studio.yaml"


def resolved(*files: Path, **environment: str) -> dict[str, Any]:
    """What Compose makes of the files: every variable filled in, the files merged."""
    options = [option for file in files for option in ("-f", str(file))]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("ONSIGHT_")}
    done = subprocess.run(
        [COMPOSE, *options, "config", "--format", "json"],
        env={**clean, **environment}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document


@pytest.fixture(scope="module")
def plain() -> dict[str, Any]:
    return resolved(PLAIN)


def test_every_service_has_no_rights_and_a_read_only_root(plain: dict[str, Any]) -> None:
    assert set(plain["services"]) == {"onsight", "nginx"}
    for name, service in {**plain["services"], **resolved(STUDIO)["services"]}.items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["restart"] == "unless-stopped", name
        assert int(service["mem_limit"]) > 0, name
        assert service["pids_limit"] > 0, name
        assert any(mount.startswith("/tmp:") for mount in service["tmpfs"]), name


def test_the_server_can_be_reached_through_nginx_alone_and_reaches_nothing(plain: dict[str, Any]) -> None:
    server, nginx = plain["services"]["onsight"], plain["services"]["nginx"]
    assert "ports" not in server
    assert list(server["networks"]) == ["inside"]
    assert plain["networks"]["inside"]["internal"] is True
    assert {port["target"] for port in nginx["ports"]} == {8080, 8443}
    assert nginx["depends_on"]["onsight"]["condition"] == "service_healthy", "the image's own health check"


def test_models_are_read_only_and_the_home_is_kept(plain: dict[str, Any]) -> None:
    mounts = {mount["target"]: mount for mount in plain["services"]["onsight"]["volumes"]}
    assert mounts["/models"]["read_only"] is True
    assert mounts["/models"]["source"] == str(ROOT / "models")
    assert (mounts["/var/lib/onsight"]["type"], mounts["/var/lib/onsight"]["source"]) == ("volume", "home")
    elsewhere = resolved(PLAIN, ONSIGHT_MODELS="/srv/models")["services"]["onsight"]
    assert "/srv/models" in {mount["source"] for mount in elsewhere["volumes"]}


def test_the_time_to_stop_covers_the_drain_and_running_requests(plain: dict[str, Any]) -> None:
    server = plain["services"]["onsight"]
    told = {name.removeprefix("ONSIGHT_").lower(): value for name, value in server["environment"].items()}
    settings = ServerSettings.model_validate(told)
    assert int(server["stop_grace_period"].removesuffix("s")) > settings.drain_s + settings.graceful_timeout_s


def test_nginx_gets_every_variable_of_its_template_and_the_secrets_it_names(plain: dict[str, Any]) -> None:
    nginx = plain["services"]["nginx"]
    given = {name for name in nginx["environment"] if name.startswith("ONSIGHT_")}
    assert given == set(VARIABLE.findall(TEMPLATE.read_text()))
    assert nginx["environment"]["ONSIGHT_UPSTREAM"] == "onsight:8000"
    secrets = {secret["target"] for secret in nginx["secrets"]}
    assert {nginx["environment"]["ONSIGHT_TLS_CERTIFICATE"], nginx["environment"]["ONSIGHT_TLS_KEY"]} == secrets
    (template,) = nginx["volumes"]
    assert template["source"] == str(TEMPLATE)
    assert Path(template["target"]).stem in " ".join(nginx["command"])


def test_one_limit_holds_for_nginx_and_the_server(plain: dict[str, Any]) -> None:
    for services in (plain["services"], resolved(PLAIN, ONSIGHT_MAX_REQUEST_BYTES="5000000")["services"]):
        values = {service["environment"]["ONSIGHT_MAX_REQUEST_BYTES"] for service in services.values()}
        assert len(values) == 1
    default = ServerSettings.model_fields["max_request_bytes"].default
    assert plain["services"]["nginx"]["environment"]["ONSIGHT_MAX_REQUEST_BYTES"] == str(default)


def test_the_gpu_file_changes_the_image_the_provider_and_the_devices_alone(plain: dict[str, Any]) -> None:
    gpu = resolved(PLAIN, GPU)["services"]["onsight"]
    assert gpu["image"] == "onsight:gpu"
    assert gpu["build"]["args"]["RUNTIME"] == "gpu"
    assert gpu["environment"]["ONSIGHT_PROVIDERS"] == "cuda"
    (device,) = gpu["deploy"]["resources"]["reservations"]["devices"]
    assert (device["driver"], device["capabilities"], device["count"]) == ("nvidia", ["gpu"], -1)
    changed = {name for name in gpu if gpu[name] != plain["services"]["onsight"].get(name)}
    assert changed == {"image", "build", "environment", "deploy", "mem_limit"}


def test_the_studio_keeps_its_home_and_is_reached_from_this_machine_alone() -> None:
    studio = resolved(STUDIO, ONSIGHT_STUDIO_PORT="9000", ONSIGHT_STUDIO_URL="https://studio.test")["services"][
        "studio"
    ]
    assert studio["build"]["target"] == "studio"
    (port,) = studio["ports"]
    assert (port["host_ip"], port["published"], port["target"]) == ("127.0.0.1", "9000", 8080)
    (volume,) = studio["volumes"]
    assert (volume["type"], volume["target"]) == ("volume", "/var/lib/onsight")
    told = studio["environment"]
    given = {"url": told["ONSIGHT_STUDIO_URL"], "database_url": told["ONSIGHT_DATABASE_URL"]}
    settings = StudioSettings(home=Path("/var/lib/onsight"), **given)
    plain = StudioSettings(home=Path("/var/lib/onsight"))
    assert settings.public_url == "https://studio.test"
    assert settings.sqlalchemy_url == plain.sqlalchemy_url, "SQLite in the volume, as everywhere"
    assert studio["stop_grace_period"] == "1m30s"
