"""For whom a bundle is sealed: read from an install's request file, or from its recipient key as text."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from bundle.sealed import Recipient
from licenses.envelope import MAX_FILE_BYTES
from licenses.errors import IdentityError
from licenses.request import install_of, read_request

_KEY = re.compile(r"[0-9a-f]{64}")
_HOW_TO_GET_ONE: Final = "On the install that shall open it: `onsight license request --out request.txt`."


def read_recipient(text: str) -> Recipient:
    """text: the path of a request file, or 64 hexadecimal digits, an X25519 public key.

    A request's signature is checked, so that a key that was changed on its way seals nothing for a stranger.
    Raises LicenseError for a request that does not hold, IdentityError for neither of the two and for a weak key.
    """
    if _KEY.fullmatch(text.lower()):
        return _recipient(text, text)
    path = Path(text)
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise IdentityError(
            f"{text}: expected a request file or a key of 64 hexadecimal digits, found {error.strerror or error}."
            f" {_HOW_TO_GET_ONE}"
        ) from error
    if _KEY.fullmatch(key := data.strip().decode("ascii", "replace").lower()):
        return _recipient(text, key)
    request = read_request(data, path.name)
    return _recipient(text, request.recipient_public, install_of(request))


def _recipient(source: str, key: str, install: str = "") -> Recipient:
    """Raises IdentityError for a key of small order, with which anyone could open what is sealed (RFC 7748, 6.1)."""
    public = bytes.fromhex(key)
    try:
        X25519PrivateKey.generate().exchange(X25519PublicKey.from_public_bytes(public))
    except ValueError as error:
        raise IdentityError(
            f"{source}: expected an X25519 public key, found one of which anyone knows the secret. {_HOW_TO_GET_ONE}"
        ) from error
    return Recipient(public, install)
