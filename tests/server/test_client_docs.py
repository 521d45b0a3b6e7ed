"""docs/client.md: its examples run as they stand, and it knows every error and option there is."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from certificates import make_certificate
from color_bundle import GREEN, RED
from running_server import ROOT, Install, running

import onsight.client
from onsight import AsyncClient, Client, ClientError

PAGE = (ROOT / "docs/client.md").read_text()
EXAMPLES = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
# What the examples print with the tiny model of colours in place of one of trash, in their order.
PRINTED = [
    r"\('red',\) False\nred: 9\d\.\d%\n\{'labels': \('red',\), .*'request_id': '\w+'\}\n",
    r"photos/1\.jpg: green\nphotos/text\.jpg: .*expected .*\n",
    r"\('red',\)\n0 \('red',\)\n1 .*expected .*\n",
    r"ready\ndefault/trash 1 on CPUExecutionProvider\n\[\('red', 0\.5\), \('green', 0\.5\), \('blue', 0\.5\)\]\n",
    r"415 IMAGE_UNSUPPORTED\n",
    "",
]


@pytest.fixture(scope="module")
def trash_server(new_install: object, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """URL and token of a server with the one model default/trash."""
    assert callable(new_install)
    install: Install = new_install()
    install.add_bundle("trash.onsight", name="trash")
    token = install.add_token()
    with running(install, tmp_path_factory.mktemp("log")) as server:
        server.wait_for_status(200)
        yield server.url, token


def test_there_is_something_to_expect_of_every_example() -> None:
    assert len(EXAMPLES) == len(PRINTED)


@pytest.mark.parametrize(("example", "printed"), list(zip(EXAMPLES, PRINTED, strict=False)))
def test_an_example_runs_as_it_stands(
    example: str, printed: str, trash_server: tuple[str, str], tmp_path: Path
) -> None:
    url, token = trash_server
    (tmp_path / "x.jpg").write_bytes(RED)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/1.jpg").write_bytes(GREEN)
    (tmp_path / "photos/text.jpg").write_text("no image")
    make_certificate(tmp_path, "ca", None)
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", example.replace("http://localhost:8000", url)],
        cwd=tmp_path, env={**os.environ, "ONSIGHT_TOKEN": token, "PYTHONPATH": str(ROOT)}, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert (ended.returncode, ended.stderr) == (0, "")
    assert re.fullmatch(printed, ended.stdout), ended.stdout


def test_every_error_and_every_option_has_its_row() -> None:
    exported = [getattr(onsight.client, name) for name in onsight.client.__all__]
    errors = [each.__name__ for each in exported if isinstance(each, type) and issubclass(each, ClientError)]
    assert len(errors) == 9
    assert [name for name in errors if f"`{name}`" not in PAGE] == []
    options = inspect.signature(Client).parameters
    assert [name for name in options if name not in ("url", "token", "model") and f"| `{name}` |" not in PAGE] == []
    for name, option in options.items():
        if isinstance(option.default, float | int) and option.default is not True:
            assert f"| `{name}` | {option.default:g} |" in PAGE


def test_both_clients_have_the_same_methods_and_options() -> None:
    def faces(kind: type) -> dict[str, str]:
        public = [name for name in dir(kind) if not name.startswith("_")]
        return {
            name: str(inspect.signature(getattr(kind, name)).replace(return_annotation=inspect.Parameter.empty))
            for name in public
            if callable(getattr(kind, name)) and name != "predict_many"
        } | {"__init__": str(inspect.signature(kind.__init__)), "names": ",".join(public)}

    assert faces(Client) == faces(AsyncClient)
    assert list(inspect.signature(Client.predict_many).parameters) == list(
        inspect.signature(AsyncClient.predict_many).parameters
    )
