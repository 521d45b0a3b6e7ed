"""A request: what an install tells an issuer of itself, signed with its own key; `licenses.recipient` reads it."""

from __future__ import annotations

from datetime import datetime

from licenses.claims import RequestDocument
from licenses.envelope import Kind, seal
from licenses.host import Factors
from licenses.identity import InstallIdentity


def make_request(identity: InstallIdentity, name: str, factors: Factors, now: datetime) -> str:
    """The text of a request file. name: 1 to 200 printable characters, else pydantic's ValidationError."""
    document = RequestDocument.model_validate(
        {
            "name": name,
            "iat": now,
            "sign_public": identity.public_key.raw.hex(),
            "recipient_public": identity.recipient_public.hex(),
            "factors": identity.hashed(factors),
        }
    )
    return seal(Kind.REQUEST, document, identity.sign_key).to_bytes().decode()
