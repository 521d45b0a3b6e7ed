"""This install's own signing key: made on first use, and trusted by this install from then on."""

from __future__ import annotations

import getpass
import platform

from bundle.home import OnsightHome
from bundle.keys import SigningKey
from bundle.trust import TrustStore


def own_key(home: OnsightHome) -> SigningKey:
    """Load the key, or make it and add its public half to the trust store."""
    is_new = not home.signing_key_path.exists()
    key = SigningKey.load_or_create(home.signing_key_path)
    if is_new:  # later the operator's word counts: a key that was removed from the store stays out
        TrustStore(home.trust_dir).add(key.public_key, f"{_user()} at {platform.node() or 'this machine'}")
    return key


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "onsight"
