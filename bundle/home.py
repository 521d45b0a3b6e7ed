"""Where an installation keeps its own files: trusted keys, its signing key, tokens and caches.

Only the command line reads the environment (`from_environment`); every other part is handed the path it needs.
Nothing here creates, reads or writes a file.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ENVIRONMENT_VARIABLE = "ONSIGHT_HOME"


@dataclass(frozen=True, slots=True)
class OnsightHome:
    """The folder of one installation, `~/.onsight` unless said otherwise."""

    path: Path

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> OnsightHome:
        """The folder that ONSIGHT_HOME names (a leading ~ is expanded), else `~/.onsight`; always absolute."""
        named = environment.get(ENVIRONMENT_VARIABLE, "").strip() or "~/.onsight"
        return cls(Path(named).expanduser().absolute())

    @property
    def trust_dir(self) -> Path:
        """Folder of `bundle.trust.TrustStore`: the public keys whose bundles are loaded."""
        return self.path / "trust"

    @property
    def signing_key_path(self) -> Path:
        """PEM file of `bundle.keys.SigningKey`: the private key that new bundles are signed with."""
        return self.path / "signing_key.pem"

    @property
    def tokens_path(self) -> Path:
        """File of the server's access tokens, hashed."""
        return self.path / "tokens.json"

    @property
    def licenses_dir(self) -> Path:
        """Folder of the install's identity, of licences, and of what issues them."""
        return self.path / "licenses"

    @property
    def issuer_dir(self) -> Path:
        """Folder of the keys and the register of an install that issues licences."""
        return self.licenses_dir / "issuer"

    @property
    def cache_dir(self) -> Path:
        """Folder of what can be computed again: features, engines."""
        return self.path / "cache"

    @property
    def backbones_dir(self) -> Path:
        """Folder of pretrained networks to transfer from, one folder each."""
        return self.path / "backbones"
