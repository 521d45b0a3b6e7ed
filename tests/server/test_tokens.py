"""The token store: nothing readable at rest, and every change counts at once."""

from __future__ import annotations

import json
import stat
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from server.errors import TokenStoreError
from server.tokens import Scope, TokenStore

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
def store(tmp_path: Path) -> TokenStore:
    return TokenStore(tmp_path / "home" / "tokens.json")


def test_a_created_token_authenticates_and_a_changed_one_does_not(store: TokenStore) -> None:
    token = store.create("lab", [Scope.PREDICT], NOW)
    record = store.authenticate(token)
    assert record is not None
    assert (record.name, record.scopes, record.last_characters) == ("lab", (Scope.PREDICT,), token[-4:])
    assert token.startswith("onsight_")
    assert len(token) == len("onsight_") + 43
    assert store.authenticate(token[:-1] + ("A" if token[-1] != "A" else "B")) is None
    assert store.authenticate("") is None


def test_the_file_holds_no_token_and_only_its_owner_may_read_it(store: TokenStore) -> None:
    token = store.create("lab", [Scope.ADMIN, Scope.METRICS], NOW)
    text = store.path.read_text()
    assert token not in text
    assert token.removeprefix("onsight_")[:20] not in text
    assert stat.S_IMODE(store.path.stat().st_mode) == 0o600
    assert json.loads(text)["tokens"][0]["created_at"] == "2026-01-02T03:04:05Z"


def test_another_store_on_the_same_file_sees_new_and_revoked_tokens_at_once(store: TokenStore) -> None:
    reader = TokenStore(store.path)
    assert reader.list() == ()
    token = store.create("lab", [Scope.PREDICT], NOW)
    assert reader.authenticate(token) is not None
    store.revoke("lab")
    assert reader.authenticate(token) is None


def test_tokens_created_at_the_same_time_are_all_kept(store: TokenStore) -> None:
    with ThreadPoolExecutor(8) as pool:
        tokens = list(pool.map(lambda i: TokenStore(store.path).create(f"t{i}", [Scope.PREDICT], NOW), range(24)))
    assert len(store.list()) == 24
    assert all(store.authenticate(token) for token in tokens)


def test_a_taken_name_an_unfit_name_and_a_token_without_scope_are_refused(store: TokenStore) -> None:
    store.create("lab", [Scope.PREDICT], NOW)
    for name, scopes in (("lab", [Scope.PREDICT]), ("../x", [Scope.PREDICT]), ("", [Scope.PREDICT]), ("new", [])):
        with pytest.raises(TokenStoreError):
            store.create(name, scopes, NOW)
    with pytest.raises(TokenStoreError, match="Known: lab"):
        store.revoke("other")


def test_a_broken_token_file_lets_nobody_in(store: TokenStore) -> None:
    token = store.create("lab", [Scope.PREDICT], NOW)
    assert store.authenticate(token)
    store.path.write_text("{")
    with pytest.raises(TokenStoreError, match="expected a token file"):
        store.authenticate(token)
