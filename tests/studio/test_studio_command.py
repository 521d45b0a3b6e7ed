"""onsight studio: what its operator types, and what it prints."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from running_studio import PASSWORD, running_studio

from onsight.cli import main
from studio.hosting import gunicorn_options, prepare
from studio.settings import StudioSettings


def onsight(home: Path, *arguments: str, **environment: str) -> Result:
    return CliRunner().invoke(main, ["studio", *arguments], env={"ONSIGHT_HOME": str(home), **environment})


def test_the_database_is_migrated_by_itself_and_on_request(tmp_path: Path) -> None:
    first, second = onsight(tmp_path, "migrate"), onsight(tmp_path, "migrate")
    made = re.fullmatch(r"database: empty -> (\d{4})\n", first.stdout)
    assert made is not None
    assert second.stdout == f"database: {made[1]}, as before\n"
    assert (tmp_path / "studio" / "studio.sqlite3").exists()


def test_files_that_nobody_needs_are_swept(tmp_path: Path) -> None:
    onsight(tmp_path, "migrate")
    folder = tmp_path / "studio" / "originals" / "aa"
    folder.mkdir(parents=True)
    (folder / ("a" * 64)).write_bytes(b"left by a crash")
    assert onsight(tmp_path, "sweep").stdout == "removed: 1\n"
    assert list(folder.iterdir()) == []


def test_settings_that_cannot_be_are_told_of_by_the_name_they_came_by(tmp_path: Path) -> None:
    wrong = onsight(tmp_path, "--port", "0")
    assert wrong.exit_code == 2
    assert "--port: expected a value greater than or equal to 1, found 0." in wrong.stderr
    wrong = onsight(tmp_path, ONSIGHT_STUDIO_THREADS="many")
    assert "ONSIGHT_STUDIO_THREADS" in wrong.stderr
    wrong = onsight(tmp_path, "migrate", ONSIGHT_DATABASE_URL="mysql://x/y")
    assert (wrong.exit_code, "expected sqlite or postgresql" in wrong.stderr) == (1, True)


def test_a_link_for_a_password_is_for_users_that_there_are(tmp_path: Path) -> None:
    onsight(tmp_path, "migrate")
    refused = onsight(tmp_path, "link", "nobody@example.org")
    assert refused.exit_code == 1
    assert "found none of this address" in refused.stderr


def test_each_start_without_a_user_prints_a_link_and_clears_what_a_crash_left(tmp_path: Path) -> None:
    settings = StudioSettings(home=tmp_path, url="https://studio.example.org")
    settings.incoming_folder.mkdir(parents=True)
    (settings.incoming_folder / "half an upload").write_bytes(b"x")
    told: list[str] = []
    prepare(settings, told.append)
    prepare(settings, told.append)
    links = [line for line in told if line.startswith("https://studio.example.org/setup#")]
    assert len(set(links)) == 2
    assert list(settings.incoming_folder.iterdir()) == []


@pytest.mark.parametrize(
    ("host", "bind", "url"),
    [("127.0.0.1", "127.0.0.1:8080", "http://localhost:8080"), ("::1", "[::1]:8080", "http://[::1]:8080"),
     ("[::]", "[::]:8080", "http://localhost:8080"), ("10.0.0.7", "10.0.0.7:8080", "http://10.0.0.7:8080")],
)  # fmt: skip
def test_where_it_listens_and_what_links_begin_with(host: str, bind: str, url: str) -> None:
    settings = StudioSettings(host=host)
    assert (gunicorn_options(settings)["bind"], settings.public_url) == (bind, url)
    assert StudioSettings(database_url="postgres://u@h/d").sqlalchemy_url == "postgresql+psycopg://u@h/d"


@pytest.mark.slow
def test_a_studio_starts_takes_its_first_user_and_lets_an_admin_back_in(tmp_path: Path) -> None:
    with running_studio(tmp_path / "home") as studio:
        assert studio.call("GET", "/studio/v1/session")["role"] == "admin"
        log = studio.log.read_text()
        assert log.count("/setup#") == 1
        assert studio.token not in log
        made = onsight(studio.home, "link", "Admin@example.org", ONSIGHT_STUDIO_PORT=str(studio.port))
        secret = re.fullmatch(rf"http://localhost:{studio.port}/password#(\S+)\n", made.stdout)
        assert secret is not None
        studio.call("POST", "/studio/v1/password", {"secret": secret[1], "password": PASSWORD + "!"})
        answer = studio.ask("GET", "/" + "x" * 9000)
        assert (answer.status, answer.json["code"]) == (414, "HTTP_INVALID")
        taken = onsight(tmp_path / "other", "--port", str(studio.port))
        assert (taken.exit_code, "--port or ONSIGHT_STUDIO_PORT" in taken.stderr) == (1, True)
        assert studio.stop() == 0
