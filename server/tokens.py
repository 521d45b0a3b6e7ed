"""Access tokens: who may ask this server for what. Only SHA-256 digests are kept, so a stolen file opens nothing.

A token is `onsight_` and 32 random bytes; with that much entropy a plain digest is enough (nothing can be guessed from
it), and checking one costs microseconds. The file is written atomically with mode 0600 and read again whenever it
changes, so that a new or revoked token counts at once, in every worker.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import os
import re
import secrets
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bundle.files import write_atomically
from server.errors import TokenStoreError

TOKEN_PREFIX = "onsight_"  # noqa: S105 - the public part, which lets secret scanners recognise our tokens
TOKEN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._ -]{0,63}")


class Scope(StrEnum):
    """What a token opens. Scopes do not contain one another."""

    PREDICT = "predict"
    ADMIN = "admin"
    METRICS = "metrics"


class TokenRecord(BaseModel):
    """One token as it is kept and shown: never the token itself."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    scopes: tuple[Scope, ...] = Field(min_length=1)
    created_at: datetime
    last_characters: str = Field(max_length=4, description="the end of the token, to recognise it by")


class Holder(Protocol):
    """Whose a token is, and what it opens."""

    @property
    def name(self) -> str: ...

    @property
    def scopes(self) -> tuple[Scope, ...]: ...


class Tokens(Protocol):
    """Who knows tokens: `TokenStore`, or another app that the server's calls are mounted in."""

    def authenticate(self, presented: str) -> Holder | None:
        """None for a token that is not known."""

    @property
    def is_empty(self) -> bool:
        """Whether there is none yet."""


class _TokenFile(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    tokens: tuple[TokenRecord, ...] = ()


Fingerprint = tuple[int, int, int]  # modified (ns), size, inode: a replaced file differs in at least one


class TokenStore:
    """The tokens of one install, in one file. Safe to use from several threads and processes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = os.fspath(path)
        self._lock = threading.Lock()
        self._fingerprint: Fingerprint | None = None
        self._records: tuple[TokenRecord, ...] = ()

    def create(self, name: str, scopes: Collection[Scope], now: datetime) -> str:
        """Add a token and return it; it is shown this once and cannot be recovered.

        now: aware datetime.  Raises TokenStoreError for a name that is taken or unfit, or no scope.
        """
        if not TOKEN_NAME.fullmatch(name):
            raise TokenStoreError(
                f"token name: expected up to 64 letters, digits, dots, dashes or spaces, found {name!r}."
            )
        if not scopes:
            raise TokenStoreError(f"token {name!r}: expected at least one scope of {', '.join(Scope)}, found none.")
        token = TOKEN_PREFIX + secrets.token_urlsafe(32)
        with self._writing():
            records = self.list()
            if any(record.name == name for record in records):
                raise TokenStoreError(f"token {name!r}: there is one of this name. Revoke it first, or choose another.")
            record = TokenRecord(
                name=name,
                sha256=_digest(token),
                scopes=tuple(sorted(set(scopes))),
                created_at=now.astimezone(UTC).replace(microsecond=0),
                last_characters=token[-4:],
            )
            self._write((*records, record))
        return token

    def revoke(self, name: str) -> None:
        """Forget a token; it stops working at once. Raises TokenStoreError when there is none of that name."""
        with self._writing():
            records = self.list()
            kept = tuple(record for record in records if record.name != name)
            if len(kept) == len(records):
                known = ", ".join(record.name for record in records) or "none"
                raise TokenStoreError(f"token {name!r}: there is none of this name. Known: {known}.")
            self._write(kept)

    def list(self) -> tuple[TokenRecord, ...]:
        """All tokens, oldest first. Raises TokenStoreError when the file cannot be read or understood."""
        fingerprint = self._look()
        with self._lock:
            if fingerprint != self._fingerprint:
                self._records = self._read() if fingerprint else ()
                self._fingerprint = fingerprint
            return self._records

    @property
    def is_empty(self) -> bool:
        """Raises TokenStoreError as `list` does."""
        return not self.list()

    def authenticate(self, presented: str) -> TokenRecord | None:
        """The record of a presented token, or None. Every record is compared, in constant time."""
        digest = _digest(presented)
        found = None
        for record in self.list():
            if hmac.compare_digest(record.sha256, digest):
                found = record
        return found

    def _look(self) -> Fingerprint | None:
        try:
            stat = os.stat(self._file)  # noqa: PTH116 - asked at each request
        except FileNotFoundError:
            return None
        except OSError as error:
            raise TokenStoreError(f"{self.path}: cannot be read ({error.strerror}). Check its owner.") from error
        return stat.st_mtime_ns, stat.st_size, stat.st_ino

    def _read(self) -> tuple[TokenRecord, ...]:
        try:
            return _TokenFile.model_validate_json(self.path.read_bytes()).tokens
        except OSError as error:
            raise TokenStoreError(f"{self.path}: cannot be read ({error.strerror}). Check its owner.") from error
        except ValidationError as error:
            raise TokenStoreError(
                f"{self.path}: expected a token file, found {error.errors()[0]['msg']}. Restore it, or delete it and"
                " create new tokens."
            ) from error

    def _write(self, records: tuple[TokenRecord, ...]) -> None:
        data = _TokenFile(tokens=records).model_dump_json(indent=2).encode() + b"\n"
        try:
            write_atomically(self.path, data, mode=0o600)
        except OSError as error:
            raise TokenStoreError(f"{self.path}: cannot be written ({error.strerror}).") from error

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Hold the file's lock, so that two commands at once do not lose a token."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = self.path.with_name(f".{self.path.name}.lock").open("w")
        except OSError as error:
            raise TokenStoreError(f"{self.path.parent}: cannot be written ({error.strerror}).") from error
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
