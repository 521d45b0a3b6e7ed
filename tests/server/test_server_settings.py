"""Settings: from the environment, checked at the door, and documented by themselves."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from pydantic import ValidationError

from bundle.cores import usable_cores
from onsight.configuration import render_configuration
from server.auth import check_safe_to_listen
from server.errors import ConfigurationError
from server.hosting.gunicorn_app import check_port_is_free, gunicorn_options
from server.settings import ServerSettings
from server.tokens import TokenStore

ROOT = Path(__file__).resolve().parents[2]


def test_the_configuration_page_is_what_the_settings_say() -> None:
    page = (ROOT / "docs" / "configuration.md").read_text()
    assert page == render_configuration(), "run: python -m onsight.configuration docs/configuration.md"


def test_every_setting_is_described() -> None:
    assert all(field.description for field in ServerSettings.model_fields.values())


def test_the_environment_is_read_and_an_argument_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONSIGHT_PORT", "9000")
    monkeypatch.setenv("ONSIGHT_PROVIDERS", "cuda, CPUExecutionProvider")
    settings = ServerSettings(workers=3)
    assert settings.port == 9000
    assert settings.providers == ("CUDAExecutionProvider", "CPUExecutionProvider")
    assert settings.worker_count == 3
    assert ServerSettings(port=9001).port == 9001


@pytest.mark.parametrize("wrong", [{"port": 0}, {"threads": 0}, {"log_format": "xml"}, {"providers": ""}, {"prot": 1}])
def test_a_setting_that_cannot_be_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        ServerSettings(**wrong)  # type: ignore[arg-type]


def test_several_devices_need_processes_of_their_own() -> None:
    with pytest.raises(ValidationError, match="set arrangement to engine_process"):
        ServerSettings(devices="0,1")
    assert ServerSettings(devices="0,1", arrangement="engine_process").devices == (0, 1)
    assert ServerSettings(devices="0,1", providers="cuda").devices == (0, 1)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("127.1.2.3", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("::", False),
     ("10.0.0.7", False), ("localhost.evil.example", False), ("", False)],
)  # fmt: skip
def test_only_loopback_may_listen_without_a_token(host: str, loopback: bool, tmp_path: Path) -> None:
    settings = ServerSettings(host=host)
    assert settings.listens_on_loopback_only is loopback
    tokens = TokenStore(tmp_path / "tokens.json")
    if loopback:
        check_safe_to_listen(settings, tokens)
    else:
        with pytest.raises(ConfigurationError, match="onsight token create"):
            check_safe_to_listen(settings, tokens)


@pytest.mark.parametrize("host", ["::1", "[::1]"])
def test_an_address_of_ipv6_is_taken_with_and_without_brackets(host: str) -> None:
    settings = ServerSettings(host=host, port=8123)
    assert gunicorn_options(settings)["bind"] == "[::1]:8123"
    assert settings.url == "http://[::1]:8123"
    assert settings.listens_on_loopback_only


@pytest.mark.parametrize(("quota", "cores"), [("100000 100000", 1), ("50000 100000", 1), ("garbage", None)])
def test_a_container_quota_bounds_the_cores(quota: str, cores: int | None, tmp_path: Path) -> None:
    file = tmp_path / "cpu.max"
    file.write_text(quota)
    assert usable_cores(file) == (cores or usable_cores(tmp_path / "absent"))


def test_a_port_in_use_is_refused_with_a_remedy(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        settings = ServerSettings(home=tmp_path, port=other.getsockname()[1])
        with pytest.raises(ConfigurationError, match="--port"):
            check_port_is_free(settings)
    check_port_is_free(settings)
