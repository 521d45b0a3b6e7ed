"""Signed documents in armour: seal them, and open them without believing anything that is not signed.

    -----BEGIN ONSIGHT LICENSE-----
    base64 of {"kid": ..., "payload": base64, "sig": base64, "v": 1}, lines of 64 characters
    -----END ONSIGHT LICENSE-----

In this order: size, armour, base64, the four fields, the key, the signature over the kind's prefix and the payload's
bytes; only then is the payload parsed. Each document has one spelling: what does not come out byte for byte when it is
written again is refused (line ends and blank lines around a block apart, which mail programs change). The algorithm is
never read from a file: it is that of the key. No I/O.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError

from bundle.errors import SignatureMismatch
from bundle.keys import SIGNATURE_BYTES, PublicKey, SigningKey
from bundle.reasons import first_complaint
from bundle.trust import is_key_id
from licenses.errors import LicenseError

MAX_FILE_BYTES: Final = 64 * 1024
_BLOCK = re.compile(rb"-----BEGIN ONSIGHT ([A-Z ]{1,30})-----\n([A-Za-z0-9+/=\n]+)\n-----END ONSIGHT \1-----")
_Model = TypeVar("_Model", bound=BaseModel)


class Kind(StrEnum):
    """What a block is; the name stands in its armour."""

    LICENSE = "LICENSE"
    KEYRING = "KEYRING"
    REVOCATIONS = "REVOCATION LIST"
    REQUEST = "LICENSE REQUEST"
    RELEASE = "LICENSE RELEASE"

    @property
    def prefix(self) -> bytes:
        """Stands before the payload where it is signed, so that no signature is good for another kind."""
        return f"onsight/{self.value.lower().replace(' ', '-')}/v1\n".encode()


@dataclass(frozen=True, slots=True)
class Sealed:
    """A block whose signature has not been checked yet: nothing in it is to be believed."""

    kind: Kind
    kid: str
    payload: bytes
    signature: bytes

    def verify(self, *keys: PublicKey) -> bytes:
        """The payload's bytes, which all `keys`, in this order, have signed as this kind and no other has.

        Raises LicenseError (BAD_SIGNATURE).
        """
        message = self.kind.prefix + self.payload
        expected = "+".join(key.key_id for key in keys)
        parts = [self.signature[i : i + SIGNATURE_BYTES] for i in range(0, len(self.signature), SIGNATURE_BYTES)]
        try:
            if self.kid != expected or len(parts) != len(keys):
                raise SignatureMismatch(f"by {self.kid}")
            for key, part in zip(keys, parts, strict=True):
                key.verify(message, part)
        except SignatureMismatch as error:
            raise LicenseError(
                "LICENSE_BAD_SIGNATURE",
                f"{self.what}: expected a signature by key {expected}, found one that does not match:"
                " the file was changed, or another key signed it. Ask the issuer for the original file.",
            ) from error
        return self.payload

    @property
    def what(self) -> str:
        """The kind in words, for messages."""
        return self.kind.value.lower()

    def expect(self, kind: Kind) -> None:
        """Raises LicenseError (MALFORMED) for a block of another kind."""
        if self.kind is not kind:
            raise malformed("file", f"a {kind.value.lower()}", f"a {self.what}")

    def to_bytes(self) -> bytes:
        """The block with its armour; ends with a line end."""
        document = {
            "kid": self.kid,
            "payload": base64.b64encode(self.payload).decode(),
            "sig": base64.b64encode(self.signature).decode(),
            "v": 1,
        }
        text = base64.b64encode(json.dumps(document, sort_keys=True, separators=(",", ":")).encode())
        lines = b"\n".join(text[i : i + 64] for i in range(0, len(text), 64))
        name = self.kind.value.encode()
        return b"-----BEGIN ONSIGHT %s-----\n%s\n-----END ONSIGHT %s-----\n" % (name, lines, name)


def seal(kind: Kind, document: BaseModel, *keys: SigningKey) -> Sealed:
    """Sign `document`'s canonical JSON; by several keys, the signatures stand one after the other, ids joined by +."""
    payload = json.dumps(document.model_dump(mode="json"), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    message = kind.prefix + payload.encode()
    kid = "+".join(key.public_key.key_id for key in keys)
    return Sealed(kind, kid, payload.encode(), b"".join(key.sign(message) for key in keys))


def read_blocks(data: bytes, source: str = "file") -> tuple[Sealed, ...]:
    """Every block in a file's bytes, in order; anything between them is refused. Raises LicenseError (MALFORMED)."""
    if len(data) > MAX_FILE_BYTES:
        raise malformed(source, f"at most {MAX_FILE_BYTES} bytes", "more")
    text = data.replace(b"\r\n", b"\n").strip(b"\n \t")
    blocks: list[Sealed] = []
    end = 0
    for match in _BLOCK.finditer(text):
        if text[end : match.start()].strip(b"\n \t"):
            break
        blocks.append(_read_block(match, source))
        end = match.end()
    if not blocks or end != len(text):
        raise malformed(source, "blocks that begin with -----BEGIN ONSIGHT ...-----, and nothing else", "other text")
    return tuple(blocks)


def read_block(data: bytes, kind: Kind, source: str = "file") -> Sealed:
    """The one block of a file that must hold exactly one, of `kind`. Raises LicenseError (MALFORMED)."""
    blocks = read_blocks(data, source)
    if [block.kind for block in blocks] != [kind]:
        raise malformed(source, f"one block, {kind.value}", ", ".join(block.kind.value for block in blocks))
    return blocks[0]


def parse_payload(payload: bytes, model: type[_Model], what: str) -> _Model:
    """Verified bytes as a document; refuses keys that stand twice. Raises LicenseError (MALFORMED)."""
    try:
        return model.model_validate(strict_json(payload))
    except ValidationError as error:
        raise malformed(what, "a document this version reads", first_complaint(error)) from error
    except (ValueError, RecursionError) as error:
        raise malformed(what, "JSON", f"{error}") from error


def strict_json(data: bytes) -> Any:
    """Parse UTF-8 JSON; raises ValueError for a key that stands twice and for NaN or Infinity."""
    return json.loads(data.decode(), object_pairs_hook=_unique, parse_constant=_refuse_constant)


def malformed(source: str, expected: str, found: str) -> LicenseError:
    return LicenseError(
        "LICENSE_MALFORMED",
        f"{source}: expected {expected}, found {found}. Copy the file again; if that does not help, ask the issuer for"
        " it, or install the version of Onsight that it was made for.",
    )


def _read_block(match: re.Match[bytes], source: str) -> Sealed:
    try:
        kind = Kind(match[1].decode())
        document = strict_json(base64.b64decode(match[2].replace(b"\n", b""), validate=True))
        if not isinstance(document, dict) or sorted(document) != ["kid", "payload", "sig", "v"] or document["v"] != 1:
            raise ValueError("other fields than kid, payload, sig and v = 1")
        kids = document["kid"].split("+")
        signature = base64.b64decode(document["sig"], validate=True)
        if not all(map(is_key_id, kids)) or len(signature) != SIGNATURE_BYTES * len(kids):
            raise ValueError("another key id or signature")
        sealed = Sealed(kind, document["kid"], base64.b64decode(document["payload"], validate=True), signature)
        if sealed.to_bytes().strip() != match[0]:
            raise ValueError("another spelling of the same content")
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise malformed(source, "a signed block", f"{type(error).__name__}: {error}") from error
    return sealed


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    if len({key for key, _ in pairs}) != len(pairs):
        raise ValueError("a key that stands twice in one object")
    return dict(pairs)


def _refuse_constant(text: str) -> Iterator[None]:
    raise ValueError(f"{text}, which is no JSON")
