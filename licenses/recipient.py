"""For whom a bundle is sealed: read from an install's request file, or from its recipient key as text."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from bundle.sealed import Recipient
from licenses.envelope import MAX_FILE_BYTES
from licenses.errors import IdentityError
from licenses.request import install_of, read_request

_KEY = re.compile(r"[0-9a-f]{64}")
_HOW_TO_GET_ONE: Final = "On the install that shall open it: `onsight license request --out request.txt`."


def read_recipient(text: str) -> Recipient:
    """text: the path of a request file, or 64 hexadecimal digits, an X25519 public key.

    A request's signature is checked, so that a key that was changed on its way seals nothing for a stranger.
    Raises LicenseError for a request that does not hold, IdentityError for neither of the two.
    """
    if _KEY.fullmatch(text.lower()):
        return Recipient(bytes.fromhex(text))
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
        return Recipient(bytes.fromhex(key))
    request = read_request(data, path.name)
    return Recipient(bytes.fromhex(request.recipient_public), install_of(request))
