"""The tests' own install and server, for measurements: a signed bundle, a token, a real Gunicorn on a free port."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "server"), str(ROOT / "tests" / "bundle"), str(ROOT / "tests")]

from color_bundle import RED, color_png  # noqa: E402
from running_server import Install, RunningServer, running  # noqa: E402

from bundle.home import OnsightHome  # noqa: E402
from bundle.keys import SigningKey  # noqa: E402
from bundle.trust import TrustStore  # noqa: E402

__all__ = ["RED", "Bench", "bench_server", "color_png", "open_install"]

COLOURS = "/v1/predict/default/colours"


@dataclass(frozen=True)
class Bench:
    """A running server. path: of its model.  token: may predict."""

    server: RunningServer
    path: str
    token: str


def open_install(folder: Path) -> Install:
    """An empty models folder and a home that trusts its own key."""
    install = Install(OnsightHome(folder / "home"), folder / "models", SigningKey.generate())
    install.models.mkdir()
    TrustStore(install.home.trust_dir).add(install.key.public_key, "bench")
    return install


@contextmanager
def bench_server(bundle: Path | None = None, home: Path | None = None, **settings: str) -> Iterator[Bench]:
    """A server of two workers with one model, ready. bundle, home: of another model than the tests' tiny one."""
    with tempfile.TemporaryDirectory(prefix="promise-") as name:
        folder = Path(name)
        install = open_install(folder)
        path = COLOURS
        if bundle is None or home is None:
            install.add_bundle()
        else:
            (install.models / bundle.name).symlink_to(bundle)
            for key in TrustStore(OnsightHome(home).trust_dir).list():
                TrustStore(install.home.trust_dir).add(key.public_key, key.name)
            path = f"/v1/predict/default/{bundle.stem}"
        token = install.add_token("bench")
        with running(install, folder, **{"workers": "2", "log_level": "warning", **settings}) as server:
            server.wait_for_status(200, seconds=120)
            yield Bench(server, path, token)
