"""Fixtures of the server's tests: an install, and servers on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from both_clients import KINDS, Connect
from running_server import Install, RunningServer, Served, running
from vendor import Vendor
from vendor import install as keep_license

from bundle.home import OnsightHome
from bundle.keys import SigningKey
from bundle.trust import TrustStore
from server.tokens import Scope

Serve = Callable[..., RunningServer]


@pytest.fixture(scope="session")
def new_install(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Install]:
    def build() -> Install:
        folder = tmp_path_factory.mktemp("install")
        install = Install(OnsightHome(folder / "home"), folder / "models", SigningKey.generate())
        install.models.mkdir()
        TrustStore(install.home.trust_dir).add(install.key.public_key, "test")
        return install

    return build


@pytest.fixture
def install(new_install: Callable[[], Install]) -> Install:
    return new_install()


@pytest.fixture
def serve(install: Install, tmp_path: Path) -> Iterator[Serve]:
    """Start a server on the test's own install."""
    with ExitStack() as stack:
        yield lambda **settings: stack.enter_context(running(install, tmp_path, **settings))


@pytest.fixture(scope="session")
def served(new_install: Callable[[], Install], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One server for all that only ask: a model, another in a project, two bad bundles, three tokens, a licence."""
    install = new_install()
    now = datetime.now(UTC)
    vendor = Vendor(tmp_path_factory.mktemp("vendor") / "issuer", now)
    keep_license(install.home.licenses_dir, vendor.file(exp=now + timedelta(days=365)))
    install.add_bundle()
    install.add_bundle("shop/goods.onsight", name="goods")
    install.add_bundle("stranger.onsight", name="stranger", key=SigningKey.generate())
    (install.models / "broken.onsight").write_bytes(b"PK\x03\x04 and no more")
    tokens = {scope: install.add_token(scope.value, scope) for scope in Scope}
    limits = {"max_image_bytes": "300000", "workers": "2", "log_format": "json"}
    with running(install, tmp_path_factory.mktemp("log"), **limits) as server:
        server.wait_for_status(200)
        yield Served(server, install, tokens[Scope.PREDICT], tokens[Scope.ADMIN], tokens)


@pytest.fixture(scope="session")
def big_served(new_install: Callable[[], Install], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server with the limits that it has by default."""
    install = new_install()
    install.add_bundle()
    token, wrong_scope = install.add_token("predict"), install.add_token("admin", Scope.ADMIN)
    with running(install, tmp_path_factory.mktemp("log")) as server:
        server.wait_for_status(200)
        yield Served(server, install, token, wrong_scope)


@pytest.fixture(params=list(KINDS))
def connect(request: pytest.FixtureRequest) -> Iterator[Connect]:
    """Make a client of either kind: connect(url, token, model=...)."""
    with ExitStack() as stack:
        yield lambda *arguments, **options: stack.enter_context(KINDS[request.param](*arguments, **options))
