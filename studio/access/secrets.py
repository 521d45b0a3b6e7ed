"""Random secrets (links, session ids, API tokens), and the digests that are kept in their place.

With 32 random bytes nothing can be guessed from a plain digest, and looking one up costs microseconds.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets

TOKEN_PREFIX = "onsight_"  # noqa: S105 - the public part, which lets secret scanners recognise our tokens


def new_secret(prefix: str = "") -> str:
    return prefix + secrets.token_urlsafe(32)


def digest(secret: str) -> str:
    """SHA-256, 64 hexadecimal digits."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def csrf_of(session_id: str) -> str:
    """What a page must send in X-CSRF-Token: bound to the session, so that a planted cookie of another is no use."""
    return hmac.digest(session_id.encode(), b"onsight csrf", "sha256").hex()
