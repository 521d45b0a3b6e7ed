"""Ed25519 keys: generate, keep in PEM files, sign, verify.

A key id is the first 16 hexadecimal digits of the SHA-256 of the raw 32-byte public key: a name to look a key up by,
never a proof. The proof is always the signature, checked against the whole key that the trust store holds.
A private key file is readable by its owner alone from its first moment on and is never overwritten.
"""

from __future__ import annotations

import hashlib
import stat
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from bundle.errors import KeyFileError, SignatureMismatch
from bundle.files import write_atomically

MAX_KEY_FILE_BYTES: Final = 16 * 1024
SIGNATURE_BYTES: Final = 64


class PublicKey:
    """What verifies signatures; safe to hand to anybody. Equal where the 32 raw bytes are equal."""

    __slots__ = ("_key", "_raw")

    def __init__(self, key: Ed25519PublicKey) -> None:
        self._key = key
        self._raw = key.public_bytes_raw()

    @classmethod
    def from_pem(cls, data: bytes, source: str = "public key") -> PublicKey:
        """Read a PEM block (text before it is ignored). Raises KeyFileError, naming `source`."""
        try:
            key = serialization.load_pem_public_key(data)
        except (ValueError, UnsupportedAlgorithm) as error:
            found = "a private key" if b"PRIVATE KEY" in data else "something else"
            raise KeyFileError(
                f"{source}: expected a PEM file with an Ed25519 public key, found {found}."
                " Ask the bundle's maker for their public key file."
            ) from error
        if not isinstance(key, Ed25519PublicKey):
            raise KeyFileError(
                f"{source}: expected an Ed25519 public key, found another kind ({type(key).__name__})."
                " Ask the bundle's maker for their public key file."
            )
        return cls(key)

    @classmethod
    def from_raw(cls, raw: bytes) -> PublicKey:
        """The key of 32 raw bytes (RFC 8032). Raises ValueError for another length."""
        return cls(Ed25519PublicKey.from_public_bytes(raw))

    @classmethod
    def load(cls, path: Path) -> PublicKey:
        """Read a PEM file. Raises KeyFileError."""
        return cls.from_pem(_read_key_file(path), source=str(path))

    def to_pem(self) -> bytes:
        return self._key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)

    def save(self, path: Path) -> None:
        """Write a PEM file, replacing an older one. Raises KeyFileError where the folder cannot be written."""
        try:
            write_atomically(path, self.to_pem())
        except OSError as error:
            raise _cannot_write(path, error) from error

    @property
    def key_id(self) -> str:
        """16 lower-case hexadecimal digits."""
        return hashlib.sha256(self._raw).hexdigest()[:16]

    @property
    def raw(self) -> bytes:
        """The 32 bytes of RFC 8032."""
        return self._raw

    def verify(self, message: bytes, signature: bytes) -> None:
        """Return if `signature` (64 bytes) is this key's over exactly `message`; else raise SignatureMismatch."""
        try:
            self._key.verify(signature, message)
        except InvalidSignature as error:
            raise SignatureMismatch(
                f"expected a signature by key {self.key_id} over these bytes, found one that does not match:"
                " they were changed after signing, or another key signed them. Get the original again."
            ) from error

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PublicKey) and self._raw == other._raw

    def __hash__(self) -> int:
        return hash(self._raw)

    def __repr__(self) -> str:
        return f"PublicKey({self.key_id})"


class SigningKey:
    """The private half. Its repr and its errors never show it."""

    __slots__ = ("_key",)

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key

    @classmethod
    def generate(cls) -> SigningKey:
        """A new key from the operating system's random source."""
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def load(cls, path: Path) -> SigningKey:
        """Read an unencrypted PEM file that only its owner may read. Raises KeyFileError."""
        data = _read_key_file(path, private=True)
        try:
            key = serialization.load_pem_private_key(data, password=None)
        except TypeError as error:
            raise KeyFileError(
                f"{path}: expected an unencrypted private key, found an encrypted one. Decrypt it, e.g. with"
                " openssl pkey, and keep it readable by its owner alone."
            ) from error
        except (ValueError, UnsupportedAlgorithm) as error:
            raise KeyFileError(
                f"{path}: expected a PEM file with an Ed25519 private key, found something else."
                " Restore the file from a backup, or make a new key and have it trusted."
            ) from error
        if not isinstance(key, Ed25519PrivateKey):
            raise KeyFileError(
                f"{path}: expected an Ed25519 private key, found another kind ({type(key).__name__})."
                " Use the key that Onsight made, or make a new one and have it trusted."
            )
        return cls(key)

    @classmethod
    def load_or_create(cls, path: Path) -> SigningKey:
        """Read the key at `path`, or generate it and save it there; two processes at once end with the same key."""
        if not path.exists():
            key = cls.generate()
            try:
                path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                write_atomically(path, key._to_pem(), mode=0o600, replace=False)
            except FileExistsError:
                return cls.load(path)
            except OSError as error:
                raise _cannot_write(path, error) from error
            return key
        return cls.load(path)

    def save(self, path: Path) -> None:
        """Write a PEM file (PKCS #8, mode 0600). Raises KeyFileError where a file stands there already."""
        try:
            write_atomically(path, self._to_pem(), mode=0o600, replace=False)
        except FileExistsError as error:
            raise KeyFileError(
                f"{path}: expected no file, found one. A private key is never overwritten: choose another name,"
                " or move the old key away if you are sure that nothing signed with it is still in use."
            ) from error
        except OSError as error:
            raise _cannot_write(path, error) from error

    def _to_pem(self) -> bytes:
        return self._key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    @property
    def public_key(self) -> PublicKey:
        return PublicKey(self._key.public_key())

    @property
    def raw(self) -> bytes:
        """The 32 secret bytes of RFC 8032, for files that hold more than this key. Never log them."""
        return self._key.private_bytes_raw()

    def sign(self, message: bytes) -> bytes:
        """64 bytes; the same key and message always give the same signature (RFC 8032)."""
        return self._key.sign(message)

    def __repr__(self) -> str:
        return f"SigningKey({self.public_key.key_id})"


def _read_key_file(path: Path, private: bool = False) -> bytes:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise KeyFileError(f"{path}: expected a key file, found a folder, pipe or device. Check the path.")
        with path.open("rb") as file:
            data = file.read(MAX_KEY_FILE_BYTES + 1)
    except OSError as error:
        raise KeyFileError(
            f"{path}: expected a key file, found {error.strerror or error}. Check the path and its permissions."
        ) from error
    if len(data) > MAX_KEY_FILE_BYTES:
        raise KeyFileError(
            f"{path}: expected a key file of at most {MAX_KEY_FILE_BYTES} bytes, found a larger one. Check the path."
        )
    if private and status.st_mode & 0o077:
        mode = stat.S_IMODE(status.st_mode)
        raise KeyFileError(
            f"{path}: expected a private key that only its owner may read, found mode {mode:04o}. Run: chmod 600 {path}"
        )
    return data


def _cannot_write(path: Path, error: OSError) -> KeyFileError:
    return KeyFileError(
        f"{path}: expected a folder that can be written, found {error.strerror or error}."
        " Check the path, its permissions and the free space."
    )
