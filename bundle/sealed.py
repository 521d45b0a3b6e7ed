"""Encrypt a bundle for the installs that may open it, and read it without ever writing its plain bytes anywhere.

A sealed bundle is a header and then the zip archive in chunks. The header names each recipient and holds the content
key, wrapped for each of them: X25519 with one ephemeral key, HKDF-SHA256, ChaCha20-Poly1305. Each chunk is encrypted
with ChaCha20-Poly1305 and bound to its number, to the header's exact bytes and to whether it is the last, so a byte
that changed, a chunk that moved, and an end that was cut off are all refused. The file's size must be what the header
says before any memory is taken for it. A chunk is decrypted when it is asked for, and one is held at a time.

It protects a bundle on its way and on a disk. It says nothing of who made it: that is the signature's business, inside.
docs/bundle-format.md has the layout.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import BinaryIO, Final, NoReturn

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bundle.errors import MalformedBundle, WrongRecipient
from bundle.reasons import first_complaint

MAGIC: Final = b"onsight/sealed/1\n"  # a zip archive begins otherwise
MAX_HEADER_BYTES: Final = 64 * 1024
MAX_RECIPIENTS: Final = 100
CHUNK_BYTES: Final = 256 * 1024
KEY_BYTES: Final = 32
_TAG_BYTES: Final = 16
_LENGTH = struct.Struct("<I")
_CHUNK_NONCE = struct.Struct(">3xQ?")  # 12 bytes: the chunk's number, and whether it is the last
_WRAP_INFO: Final = b"onsight/sealed/v1 content key"
_HOW_TO_ASK: Final = (
    "Give its maker this install's key, which `onsight license request` writes, and ask for the bundle anew"
    " (`onsight export --for`)."
)

Opener = Callable[[], X25519PrivateKey | None]
"""This install's private key, asked for only where a bundle is sealed; None where the install has none."""


@dataclass(frozen=True, slots=True)
class Recipient:
    """Who may open a bundle. public_key: X25519, 32 bytes.  install: its id, to be told of in errors; may be empty."""

    public_key: bytes
    install: str = ""

    @property
    def key_id(self) -> str:
        """16 hexadecimal digits: a name to look the key up by, never a proof."""
        return hashlib.sha256(self.public_key).hexdigest()[:16]


class _Closed(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Wrapped(_Closed):
    """The content key for one recipient."""

    key_id: str = Field(pattern=r"^[0-9a-f]{16}$")
    install: str = Field(pattern=r"^[A-Za-z0-9._-]{0,100}$")
    content_key: str = Field(pattern=r"^[A-Za-z0-9+/]{64}$", description="base64 of 48 bytes")


class _Header(_Closed):
    ephemeral: str = Field(pattern=r"^[A-Za-z0-9+/]{43}=$", description="base64 of an X25519 public key")
    chunk_bytes: int = Field(ge=1024, le=16 * 1024**2, strict=True)
    plain_bytes: int = Field(ge=1, strict=True)
    recipients: tuple[_Wrapped, ...] = Field(min_length=1, max_length=MAX_RECIPIENTS)


def is_sealed(file: BinaryIO) -> bool:
    """Whether it begins as a sealed bundle does; the place in the file is the beginning again."""
    file.seek(0)
    found = file.read(len(MAGIC))
    file.seek(0)
    return found == MAGIC


def write_sealed(file: BinaryIO, plain: bytes | memoryview, recipients: Sequence[Recipient]) -> None:
    """Write `plain` (at least one byte) so that each of the recipients, and nobody else, can read it.

    A key that comes twice is named once. Two writings of equal bytes differ: the keys are fresh. Raises MalformedBundle
    for a recipient that cannot be.
    """
    named_last = sorted(recipients, key=lambda each: bool(each.install))
    recipients = list({each.public_key: each for each in named_last}.values())
    if not 0 < len(recipients) <= MAX_RECIPIENTS:
        _refuse("recipients", f"1 to {MAX_RECIPIENTS} of them", f"{len(recipients)}", "Seal it in several files.")
    ephemeral = X25519PrivateKey.generate()
    ephemeral_public = ephemeral.public_key().public_bytes_raw()
    content_key = os.urandom(KEY_BYTES)
    wrapped = []
    for recipient in recipients:
        wrapping_key = _wrapping_key(_exchange(ephemeral, recipient.public_key), ephemeral_public, recipient.public_key)
        sealed_key = ChaCha20Poly1305(wrapping_key).encrypt(bytes(12), content_key, None)  # the key is used once
        try:
            wrapped.append(
                _Wrapped(key_id=recipient.key_id, install=recipient.install, content_key=_to_base64(sealed_key))
            )
        except ValidationError:
            _refuse("recipient", "an install's id (letters, digits, '.', '_', '-')", repr(recipient.install), "")
    header = _Header(
        ephemeral=_to_base64(ephemeral_public), chunk_bytes=CHUNK_BYTES, plain_bytes=len(plain),
        recipients=tuple(wrapped),
    )  # fmt: skip
    document = json.dumps(header.model_dump(mode="json"), sort_keys=True).encode()
    begin = MAGIC + _LENGTH.pack(len(document)) + document
    file.write(begin)
    cipher, bound_to = ChaCha20Poly1305(content_key), hashlib.sha256(begin).digest()
    last = _chunk_count(header) - 1
    view = memoryview(plain)
    for number in range(last + 1):
        chunk = view[number * CHUNK_BYTES : (number + 1) * CHUNK_BYTES]
        file.write(cipher.encrypt(_CHUNK_NONCE.pack(number, number == last), chunk, bound_to))


class SealedReader(io.RawIOBase):
    """The plain bytes of a sealed bundle, decrypted as they are read; for one thread.

    file: open at any place.  source: its name, for errors.  max_bytes: of plain content.
    Raises MalformedBundle for what is not whole or was changed (at reading too), WrongRecipient where `opener` has no
    key that opens it.
    """

    def __init__(self, file: BinaryIO, source: str, opener: Opener | None, max_bytes: int) -> None:
        super().__init__()
        self._file, self._source = file, source
        begin, self._header = self._read_header()
        header = self._header
        if header.plain_bytes > max_bytes:
            _refuse(source, f"at most {max_bytes} bytes in all", f"{header.plain_bytes}", "Export a smaller bundle.")
        self._start = len(begin)
        self._chunks = _chunk_count(header)
        expected = self._start + header.plain_bytes + _TAG_BYTES * self._chunks
        if (found := file.seek(0, os.SEEK_END)) != expected:
            _refuse(source, f"a sealed bundle of {expected} bytes, as its header says", f"{found}")
        self._bound_to = hashlib.sha256(begin).digest()
        self._cipher = ChaCha20Poly1305(self._content_key(opener))
        self._place = 0
        self._held: tuple[int, bytes] = (-1, b"")  # the chunk that was read last

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self._header.plain_bytes}[whence]
        self._place = max(0, base + offset)
        return self._place

    def read(self, size: int = -1) -> bytes:
        """Up to `size` bytes; fewer only at the end."""
        left = max(0, self._header.plain_bytes - self._place)
        size = left if size < 0 else min(size, left)
        found = bytearray(size)
        at = 0
        while at < size:
            number, offset = divmod(self._place, self._header.chunk_bytes)
            part = memoryview(self._chunk(number))[offset : offset + size - at]
            found[at : at + len(part)] = part
            at += len(part)
            self._place += len(part)
        return bytes(found)

    def _chunk(self, number: int) -> bytes:
        if self._held[0] != number:
            size = self._header.chunk_bytes
            self._file.seek(self._start + number * (size + _TAG_BYTES))
            last = number == self._chunks - 1
            data = self._file.read((self._header.plain_bytes - number * size if last else size) + _TAG_BYTES)
            try:
                plain = self._cipher.decrypt(_CHUNK_NONCE.pack(number, last), data, self._bound_to)
            except InvalidTag:
                _refuse(self._source, "the bytes that were sealed", f"others in part {number + 1} of {self._chunks}")
            self._held = (number, plain)
        return self._held[1]

    def _read_header(self) -> tuple[bytes, _Header]:
        """Its exact bytes from the file's beginning on, and what they say."""
        self._file.seek(0)
        begin = self._file.read(len(MAGIC) + _LENGTH.size)
        if len(begin) != len(MAGIC) + _LENGTH.size:
            _refuse(self._source, "a sealed bundle", f"{len(begin)} bytes")
        (length,) = _LENGTH.unpack_from(begin, len(MAGIC))
        if length > MAX_HEADER_BYTES:
            _refuse(self._source, f"a header of at most {MAX_HEADER_BYTES} bytes", f"{length}")
        document = self._file.read(length)
        try:
            return begin + document, _Header.model_validate_json(document)
        except ValidationError as error:
            _refuse(self._source, "a header that fits its schema", first_complaint(error))

    def _content_key(self, opener: Opener | None) -> bytes:
        private = opener() if opener is not None else None
        if private is None:
            self._wrong_recipient("an install without a key of its own")
        public = private.public_key().public_bytes_raw()
        me = Recipient(public)
        ephemeral = base64.b64decode(self._header.ephemeral)
        for wrapped in self._header.recipients:
            if wrapped.key_id == me.key_id:
                key = _wrapping_key(_exchange(private, ephemeral), ephemeral, public)
                try:
                    return ChaCha20Poly1305(key).decrypt(bytes(12), base64.b64decode(wrapped.content_key), None)
                except InvalidTag:
                    _refuse(self._source, "a content key that this install's key opens", "one that was changed")
        return self._wrong_recipient(f"the one of key {me.key_id}")

    def _wrong_recipient(self, found: str) -> NoReturn:
        made_for = [each.install or f"with key {each.key_id}" for each in self._header.recipients]
        named = ", ".join(made_for[:5]) + (f" and {len(made_for) - 5} more" if len(made_for) > 5 else "")
        raise WrongRecipient(
            f"{self._source}: it is encrypted and opens on install {named} alone; this is {found}. {_HOW_TO_ASK}"
        )


def _chunk_count(header: _Header) -> int:
    return -(-header.plain_bytes // header.chunk_bytes)


def _exchange(private: X25519PrivateKey, public: bytes) -> bytes:
    """The shared secret of X25519 (RFC 7748). Raises MalformedBundle for a key of another size or of small order."""
    try:
        return private.exchange(X25519PublicKey.from_public_bytes(public))
    except ValueError:
        _refuse("recipient", "an X25519 public key of 32 bytes", "another value", "Ask for the key again.")


def _wrapping_key(secret: bytes, ephemeral_public: bytes, recipient_public: bytes) -> bytes:
    return HKDF(SHA256(), KEY_BYTES, ephemeral_public + recipient_public, _WRAP_INFO).derive(secret)


def _to_base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _refuse(where: str, expected: str, found: str, todo: str = "Copy the bundle again.") -> NoReturn:
    raise MalformedBundle(f"{where}: expected {expected}, found {found}. {todo}".rstrip())
