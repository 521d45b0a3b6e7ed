"""Passwords: argon2id with the library's recommended cost (RFC 9106, low memory), a few at a time.

A hash takes 64 MiB and a core for a twentieth of a second: strangers could have thousands computed at once, so only two
are. Whoever signs in under an unknown name waits as long as under a known one.
"""

from __future__ import annotations

import threading
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from studio.errors import Invalid

LEAST_CHARACTERS = 10
MOST_CHARACTERS = 1024
AT_ONCE = 2

_hasher = PasswordHasher()
_turn = threading.BoundedSemaphore(AT_ONCE)


def hash_password(password: str) -> str:
    """Raises Invalid for one that is too short, or that is one character all over."""
    if not LEAST_CHARACTERS <= len(password) <= MOST_CHARACTERS or len(set(password)) < 3:
        raise Invalid(
            f"password: expected {LEAST_CHARACTERS} to {MOST_CHARACTERS} characters, three of them different.",
            "PASSWORD_WEAK",
        )
    with _turn:
        return _hasher.hash(password)


def verify_password(password_hash: str | None, password: str) -> bool:
    """password_hash: None, of an unknown or invited user, takes as long and is never right."""
    with _turn:
        try:
            return _hasher.verify(password_hash or _nobodys_hash(), password) and password_hash is not None
        except (VerificationError, InvalidHashError):
            return False


def is_outdated(password_hash: str) -> bool:
    """Whether it was made at another cost than new ones are."""
    return _hasher.check_needs_rehash(password_hash)


@cache
def _nobodys_hash() -> str:
    return _hasher.hash("nobody's password")
