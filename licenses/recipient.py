"""For whom a bundle is sealed: read from an install's request file, or from its recipient key as text."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from bundle.keys import PublicKey
from bundle.sealed import Recipient
from licenses.claims import RequestDocument
from licenses.envelope import MAX_FILE_BYTES, Kind, parse_payload, read_block, strict_json
from licenses.errors import IdentityError, LicenseError
from licenses.identity import install_id_of

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
    sealed = read_block(data, Kind.REQUEST, path.name)
    try:
        signer = PublicKey.from_raw(bytes.fromhex(strict_json(sealed.payload)["sign_public"]))
    except (ValueError, TypeError, KeyError) as error:
        raise LicenseError(
            "LICENSE_MALFORMED", f"{path.name}: expected a request with its own key, found none. {_HOW_TO_GET_ONE}"
        ) from error
    request = parse_payload(sealed.verify(signer), RequestDocument, path.name)
    public = bytes.fromhex(request.recipient_public)
    return Recipient(public, install_id_of(bytes.fromhex(request.sign_public), public))
