"""A PostgreSQL of the test run's own: Debian's programs, a cluster in a temporary folder, a socket and no port."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy

from studio.database.engine import Database
from studio.settings import StudioSettings

ROLE = "onsight"
START_S = 60


def open_database(url: str) -> Database:
    """As the studio does with ONSIGHT_DATABASE_URL, of either kind."""
    return Database(StudioSettings(database_url=url).sqlalchemy_url)


def find_programs() -> Path | None:
    """The folder of `initdb` and `postgres`; Debian keeps it off the path."""
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    places += [Path(found).resolve().parent for found in [shutil.which("initdb")] if found]
    return next((place for place in places if (place / "initdb").exists() and (place / "postgres").exists()), None)


class PostgresServer:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made = 0

    def url(self, name: str) -> str:
        return f"postgresql://{ROLE}@/{name}?host={self._folder}"

    def new_database(self, template: str = "template1") -> str:
        """The name of a new database, a copy of `template`, which nobody may be using."""
        self._made += 1
        name = f"studio_{self._made}"
        self.run(f'CREATE DATABASE {name} TEMPLATE "{template}"')
        return name

    def run(self, statement: str) -> None:
        engine = sqlalchemy.create_engine(self.url("postgres").replace("postgresql:", "postgresql+psycopg:"))
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql(statement)
        engine.dispose()


@contextmanager
def running_postgres() -> Iterator[PostgresServer]:
    """Start one, and stop it at the end. Skips the test, with the reason, where there is none."""
    programs = find_programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    user = None
    if os.geteuid() == 0:  # PostgreSQL refuses to run as root
        user = next((entry.pw_name for entry in pwd.getpwall() if entry.pw_name in ("postgres", "nobody")), None)
        if user is None:
            pytest.skip("PostgreSQL does not run as root, and there is neither a user postgres nor nobody")
    with tempfile.TemporaryDirectory(prefix="onsight-pg-") as name:  # short: a socket's path has 107 characters at most
        folder = Path(name)
        if user is not None:
            shutil.chown(folder, user)
        data = folder / "data"
        common = {"user": user, "cwd": folder, "env": {"LC_ALL": "C.UTF-8", "PATH": os.environ.get("PATH", "")}}
        subprocess.run(
            [programs / "initdb", "-D", data, "-U", ROLE, "-A", "trust", "--no-sync", "-E", "UTF8"],
            check=True, capture_output=True, **common,
        )  # fmt: skip
        options = ["listen_addresses=", "fsync=off", f"unix_socket_directories={folder}", "max_connections=200"]
        command = [programs / "postgres", "-D", data, *(part for option in options for part in ("-c", option))]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, **common)
        try:
            server = PostgresServer(folder)
            _wait_until_ready(server, process, folder / "log")
            yield server
        finally:
            process.send_signal(signal.SIGQUIT)  # at once: nobody needs what is in it
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_until_ready(server: PostgresServer, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_S
    while True:
        try:
            return server.run("SELECT 1")
        except sqlalchemy.exc.OperationalError:
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.fail("PostgreSQL did not start:\n" + log.read_text(errors="replace"))
            time.sleep(0.05)
