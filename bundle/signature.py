"""The detached signature of a manifest: `manifest.sig`.

A small JSON document {"v": 1, "key_id": ..., "signature": base64}. What is signed is a fixed prefix and then the exact
bytes of the manifest, so that a signature made for one kind of document never passes for another.
Verify in this order: size, strict parse, the key by its id from the trust store, the signature. Never parses the
manifest.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import Final

from bundle.errors import MalformedBundle
from bundle.keys import SIGNATURE_BYTES, SigningKey
from bundle.manifest import SIGNATURE_NAME
from bundle.trust import TrustStore, is_key_id

MESSAGE_PREFIX: Final = b"onsight/bundle/v1\n"
MAX_SIGNATURE_FILE_BYTES: Final = 4096


@dataclass(frozen=True, slots=True)
class Signature:
    """A parsed, not yet verified `manifest.sig`: 16 hexadecimal digits and 64 bytes."""

    key_id: str
    signature: bytes


def sign_manifest(manifest_bytes: bytes, key: SigningKey) -> bytes:
    """The bytes of `manifest.sig` for these manifest bytes; the same input gives the same output."""
    document = {
        "v": 1,
        "key_id": key.public_key.key_id,
        "signature": base64.b64encode(key.sign(MESSAGE_PREFIX + manifest_bytes)).decode("ascii"),
    }
    return (json.dumps(document) + "\n").encode("ascii")


def verify_manifest(manifest_bytes: bytes, signature_bytes: bytes, trust: TrustStore) -> str:
    """Return the id of the trusted key that signed exactly `manifest_bytes`.

    Raises MalformedBundle (not a signature file), UntrustedKey (not in `trust`), SignatureMismatch.
    """
    signature = parse_signature(signature_bytes)
    trusted = trust.get(signature.key_id)
    trusted.public_key.verify(MESSAGE_PREFIX + manifest_bytes, signature.signature)
    return signature.key_id


def parse_signature(data: bytes) -> Signature:
    """Read the bytes of `manifest.sig`: three fields, each once, nothing else. Raises MalformedBundle."""
    if len(data) > MAX_SIGNATURE_FILE_BYTES:
        raise _malformed(f"at most {MAX_SIGNATURE_FILE_BYTES} bytes", f"{len(data)}")
    try:
        pairs = json.loads(data.decode("ascii"), object_pairs_hook=lambda pairs: pairs)
    except (ValueError, RecursionError) as error:
        raise _malformed("JSON in ASCII", type(error).__name__) from error
    if not _is_object(pairs) or sorted(name for name, _ in pairs) != ["key_id", "signature", "v"]:
        raise _malformed('an object with "v", "key_id" and "signature"', "other content")
    fields = dict(pairs)
    if type(fields["v"]) is not int or fields["v"] != 1:
        raise _malformed("version 1", "another one")
    if not isinstance(fields["key_id"], str) or not is_key_id(fields["key_id"]):
        raise _malformed("a key id of 16 hexadecimal digits", "something else")
    try:
        raw = base64.b64decode(fields["signature"], validate=True)
    except (TypeError, ValueError) as error:
        raise _malformed("a base64 signature", "something else") from error
    if len(raw) != SIGNATURE_BYTES or base64.b64encode(raw).decode("ascii") != fields["signature"]:
        raise _malformed(f"the base64 of {SIGNATURE_BYTES} bytes", "something else")
    return Signature(fields["key_id"], raw)


def _is_object(pairs: object) -> bool:
    return isinstance(pairs, list) and all(
        isinstance(pair, tuple) and len(pair) == 2 and isinstance(pair[0], str) for pair in pairs
    )


def _malformed(expected: str, found: str) -> MalformedBundle:
    return MalformedBundle(f"{SIGNATURE_NAME}: expected {expected}, found {found}. Export the bundle again.")
