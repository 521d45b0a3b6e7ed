"""Who this install is: two key pairs and a salt in one file on the volume, made once.

`identity.json` holds an Ed25519 key (signs activation requests), an X25519 key (opens bundles that were encrypted for
this install) and the salt of the host's hashes. The install id is a digest of both public keys, so whoever knows the id
can check the keys. A container that is made anew with the same volume is the same install. The file is readable by its
owner alone, appears whole or not at all, and is never replaced: a damaged one is told of, not renewed.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from bundle.files import write_atomically
from bundle.keys import PublicKey, SigningKey
from licenses.errors import IdentityError
from licenses.host import Factors

FILE_NAME: Final = "identity.json"
_MAX_BYTES: Final = 4096
_FIELDS: Final = ("open_key", "salt", "sign_key")
_WAIT_FOR_WRITER_S: Final = 5.0


def install_id_of(sign_public: bytes, recipient_public: bytes) -> str:
    """32 hexadecimal digits of the SHA-256 over both raw public keys (32 bytes each)."""
    return hashlib.sha256(b"onsight/install/v1\n" + sign_public + recipient_public).hexdigest()[:32]


@dataclass(frozen=True, slots=True, repr=False)
class InstallIdentity:
    """The identity of one install; its repr shows the id alone.

    sign_key: signs requests. open_key: the X25519 private key that encrypted bundles are opened with.
    salt: 16 bytes that never leave the install.
    """

    sign_key: SigningKey
    open_key: X25519PrivateKey
    salt: bytes

    @classmethod
    def load(cls, folder: Path) -> InstallIdentity | None:
        """The identity in `folder`; None where there is none yet. Raises IdentityError for one that cannot be read."""
        path = folder / FILE_NAME
        deadline = time.monotonic() + _WAIT_FOR_WRITER_S
        while True:
            try:
                with path.open("rb") as file:
                    data = file.read(_MAX_BYTES + 1)
            except (FileNotFoundError, NotADirectoryError):
                return None
            except OSError as error:
                raise IdentityError(
                    f"{path}: expected this install's identity, found {error.strerror or error}. Check the path and"
                    " its permissions: the account that runs Onsight must own it."
                ) from error
            if data or time.monotonic() > deadline:  # empty: another process has taken the name and is writing
                return cls._parse(data, path)
            time.sleep(0.05)

    @classmethod
    def load_or_create(cls, folder: Path) -> InstallIdentity:
        """The identity in `folder`, made where there is none; processes that ask at once end with the same one.

        Raises IdentityError where it cannot be read, or cannot be written.
        """
        found = cls.load(folder)
        if found is not None:
            return found
        made = cls(SigningKey.generate(), X25519PrivateKey.generate(), os.urandom(16))
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_atomically(folder / FILE_NAME, made._to_bytes(), mode=0o600, replace=False)
        except FileExistsError:
            found = cls.load(folder)
            if found is not None:
                return found
            raise IdentityError(f"{folder}: expected a folder, found something else. Move it away.") from None
        except OSError as error:
            raise IdentityError(
                f"{folder}: expected a folder that can be written, to keep this install's identity in, found"
                f" {error.strerror or error}. Make it writable, or set ONSIGHT_HOME to a folder on a volume that is."
            ) from error
        return made

    @classmethod
    def _parse(cls, data: bytes, path: Path) -> InstallIdentity:
        try:
            document = json.loads(data)
            if not isinstance(document, dict) or sorted(document) != [*_FIELDS, "v"] or document["v"] != 1:
                raise ValueError("other fields")
            open_key, salt, sign_key = (base64.b64decode(document[name], validate=True) for name in _FIELDS)
            if len(salt) != 16:
                raise ValueError("another salt")
            return cls(
                SigningKey(Ed25519PrivateKey.from_private_bytes(sign_key)),
                X25519PrivateKey.from_private_bytes(open_key),
                salt,
            )
        except (ValueError, TypeError, RecursionError):
            raise IdentityError(
                f"{path}: expected this install's identity, found {len(data)} bytes of something else. Restore the file"
                " from a backup. Without it, move the file away: a new identity is made, and licences and encrypted"
                " bundles for the old one must be issued again (onsight license request)."
            ) from None

    def _to_bytes(self) -> bytes:
        values = {"open_key": self.open_key.private_bytes_raw(), "salt": self.salt, "sign_key": self.sign_key.raw}
        document = {"v": 1, **{name: base64.b64encode(value).decode() for name, value in values.items()}}
        return (json.dumps(document, indent=1) + "\n").encode()

    @property
    def public_key(self) -> PublicKey:
        """What verifies this install's requests."""
        return self.sign_key.public_key

    @property
    def recipient_public(self) -> bytes:
        """The X25519 public key (32 bytes) that bundles for this install are encrypted to."""
        return self.open_key.public_key().public_bytes_raw()

    @property
    def install_id(self) -> str:
        """32 hexadecimal digits; a digest of both public keys."""
        return install_id_of(self.public_key.raw, self.recipient_public)

    def hashed(self, factors: Factors) -> dict[str, tuple[str, ...]]:
        """`factors` (kind -> values) as salted hashes of 32 hexadecimal digits; equal values of two installs differ."""
        return {
            kind: tuple(sorted(self._hash(kind, value) for value in values))
            for kind, values in sorted(factors.items())
            if values
        }

    def _hash(self, kind: str, value: str) -> str:
        text = f"{kind}\n{value}".encode()
        return hashlib.sha256(b"onsight/factor/v1\n" + self.salt + text).hexdigest()[:32]

    def __repr__(self) -> str:
        return f"InstallIdentity({self.install_id})"
