"""Passwords: argon2id with the library's recommended cost (RFC 9106, low memory), a few at a time.

A hash takes 64 MiB and a core for a twentieth of a second: strangers could have thousands computed at once, so only two
are, and whoever does not get their turn soon is told to come again. Whoever signs in under an unknown name waits as
long as under a known one.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from studio.errors import Busy, Invalid

LEAST_CHARACTERS = 10
MOST_CHARACTERS = 1024
AT_ONCE = 2
WAIT_S = 5.0

_hasher = PasswordHasher()
_turn = threading.BoundedSemaphore(AT_ONCE)


def hash_password(password: str) -> str:
    """Raises Invalid for one that is too short, or that is one character all over; Busy where too many are at it."""
    if not LEAST_CHARACTERS <= len(password) <= MOST_CHARACTERS or len(set(password)) < 3:
        raise Invalid(
            f"password: expected {LEAST_CHARACTERS} to {MOST_CHARACTERS} characters, three of them different.",
            "PASSWORD_WEAK",
        )
    with _its_turn():
        return _hasher.hash(password)


def verify_password(password_hash: str | None, password: str) -> bool:
    """password_hash: None, of an unknown or invited user, takes as long and is never right. Raises Busy."""
    with _its_turn():
        try:
            return _hasher.verify(password_hash or _nobodys_hash(), password) and password_hash is not None
        except (VerificationError, InvalidHashError):
            return False


@contextmanager
def _its_turn() -> Iterator[None]:
    if not _turn.acquire(timeout=WAIT_S):
        raise Busy("Too many passwords are being checked. Nothing was changed.")
    try:
        yield
    finally:
        _turn.release()


def is_outdated(password_hash: str) -> bool:
    """Whether it was made at another cost than new ones are."""
    return _hasher.check_needs_rehash(password_hash)


@cache
def _nobodys_hash() -> str:
    return _hasher.hash("nobody's password")
