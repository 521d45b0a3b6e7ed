"""This install's key for sealed bundles, looked up at the moment that one has to be opened. Never makes an identity."""

from __future__ import annotations

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from bundle.sealed import Opener
from licenses.identity import InstallIdentity


def opener_of(licenses_dir: Path) -> Opener:
    """The opener of the install whose folder this is; it raises IdentityError where the identity cannot be read."""

    def open_key() -> X25519PrivateKey | None:
        identity = InstallIdentity.load(licenses_dir)
        return None if identity is None else identity.open_key

    return open_key
