"""An issuer's folder: keys, key ring, revocation list and the register of all that was issued. Signs nothing.

    root-1.pem root-2.pem          sign key rings; belong in two safes, since all else goes on without them
    licence-KEYID.pem crl-KEYID.pem    sign licences and revocation lists
    keyring.txt revocations.txt    the newest of each, as customers get them
    issued.json                    the register

Files are for their owner alone, and appear whole or not at all. A register that is missing or damaged is told of and
never begun anew: it numbers what is issued, and says what a stolen key signed rightly. Those who change something hold
the folder's lock from their first look to their last write.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import Field

from bundle.files import write_atomically
from bundle.keys import SigningKey
from licenses.claims import Claims, Closed, Hex32, KeyId, LicenseId, Name
from licenses.envelope import Kind, Sealed, parse_payload, read_block
from licenses.errors import IssuerError, LicenseError
from licenses.keyring import KeyRing
from licenses.license import License

ROOT_NAMES: Final = ("root-1.pem", "root-2.pem")
PRIVATE: Final = 0o600
_RING, _REVOCATIONS, _REGISTER, _LOCK = "keyring.txt", "revocations.txt", "issued.json", ".lock"


class IssuedFile(Closed):
    """One licence file that was made."""

    seq: int
    kid: KeyId
    digest: Hex32


class Entry(Closed):
    """A lic_id: its newest claims, every file of it, and what became of it."""

    claims: Claims
    files: tuple[IssuedFile, ...] = Field(min_length=1)
    revoked: Name | None = None
    releases: tuple[Hex32, ...] = Field(default=(), description="digests of the releases that moved it")


class Register(Closed):
    """All that an issuer issued. ring_seq, crl_seq: the newest of each that is known to exist."""

    v: Literal[1] = 1
    issuer: Hex32
    ring_seq: Annotated[int, Field(ge=1)]
    crl_seq: Annotated[int, Field(ge=0)] = 0
    licences: dict[LicenseId, Entry] = Field(default={})

    def entry(self, lic_id: str) -> Entry:
        """Raises IssuerError where this issuer has issued no such licence."""
        if lic_id not in self.licences:
            raise IssuerError(
                f"{lic_id}: expected a licence of this issuer, found none of that id. `onsight license list` prints"
                " them."
            )
        return self.licences[lic_id]

    def going_on(self, lic_id: str) -> Entry:
        """An entry that may get another file. Raises IssuerError where it is revoked, as well."""
        entry = self.entry(lic_id)
        if entry.revoked is not None:
            raise IssuerError(
                f"{lic_id}: expected a licence that goes on, found a revoked one ({entry.revoked}). Issue a new one."
            )
        return entry

    def signed_by(self, kid: str) -> dict[str, tuple[str, ...]]:
        """lic_id -> digests of the files that this key signed, of licences that are not revoked."""
        signed = {
            lic_id: tuple(file.digest for file in entry.files if file.kid == kid)
            for lic_id, entry in self.licences.items()
            if entry.revoked is None
        }
        return {lic_id: digests for lic_id, digests in signed.items() if digests}

    def with_entry(self, entry: Entry) -> Register:
        return self.model_copy(update={"licences": {**self.licences, entry.claims.lic_id: entry}})

    def with_license(self, made: License, releases: Sequence[str] = ()) -> Register:
        """With one more file of a lic_id that is new or known."""
        known = self.licences.get(made.claims.lic_id)
        file = IssuedFile(seq=made.claims.seq, kid=made.sealed.kid, digest=made.digest)
        files, used = ((), ()) if known is None else (known.files, known.releases)
        return self.with_entry(Entry(claims=made.claims, files=(*files, file), releases=(*used, *releases)))

    @property
    def revoked(self) -> dict[str, str]:
        """lic_id -> reason."""
        return {lic_id: entry.revoked for lic_id, entry in sorted(self.licences.items()) if entry.revoked is not None}


@dataclass(frozen=True, slots=True)
class IssuerFolder:
    """Reads and writes the files; each call reads anew."""

    path: Path

    @contextmanager
    def locked(self) -> Iterator[tuple[Register, KeyRing]]:
        """Hold the lock; gives what `read` reads. Raises IssuerError as `read` does."""
        self._must_exist()
        with os.fdopen(os.open(self.path / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE)) as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield self.read()

    def read(self) -> tuple[Register, KeyRing]:
        """The register and the ring. Raises IssuerError where there is none, one is damaged, or they do not fit."""
        self._must_exist()
        path = self.path / _REGISTER
        try:  # the register first: a rotation at this moment writes the ring before it
            register = parse_payload(path.read_bytes(), Register, path.name)
            if any(lic_id != entry.claims.lic_id for lic_id, entry in register.licences.items()):
                raise ValueError("a licence under another's id")
        except (LicenseError, OSError, ValueError) as error:
            raise _damaged(path, "the register of what was issued", error) from error
        path = self.path / _RING
        try:
            ring = KeyRing.open(read_block(path.read_bytes(), Kind.KEYRING, path.name))
        except (LicenseError, OSError) as error:
            raise _damaged(path, "the issuer's key ring", error) from error
        if ring.issuer != register.issuer or ring.seq < register.ring_seq:
            raise IssuerError(
                f"{path}: expected key ring {register.ring_seq} or a later one of issuer {register.issuer}, as the"
                f" register says, found number {ring.seq} of {ring.issuer}. Restore the newest {_RING} from a backup;"
                " customers hold it too, at the top of their licence files."
            )
        return register, ring

    def revocations(self) -> Sealed | None:
        """The newest list; None where there is none, or none that can be read (it can be signed again)."""
        try:
            return read_block((self.path / _REVOCATIONS).read_bytes(), Kind.REVOCATIONS, _REVOCATIONS)
        except (LicenseError, OSError):
            return None

    def write_register(self, register: Register) -> None:
        text = json.dumps(register.model_dump(mode="json"), indent=1, ensure_ascii=False)
        write_atomically(self.path / _REGISTER, text.encode() + b"\n", PRIVATE)

    def write_ring(self, ring: KeyRing) -> None:
        write_atomically(self.path / _RING, ring.sealed.to_bytes(), PRIVATE)

    def write_revocations(self, sealed: Sealed) -> None:
        write_atomically(self.path / _REVOCATIONS, sealed.to_bytes(), PRIVATE)

    def key_path(self, use: str, key_id: str) -> Path:
        """Where the private half of a key for licences or lists lies."""
        return self.path / f"{use}-{key_id}.pem"

    def roots(self, ring: KeyRing, elsewhere: Sequence[Path] = ()) -> tuple[SigningKey, ...]:
        """Both root keys, in the order in which they sign; from this folder, or from files `elsewhere`.

        Raises IssuerError that names those that are missing, KeyFileError for a file that holds no key.
        """
        wanted = list(ring.roots)
        found: dict[str, SigningKey] = {}
        for path in (*(path for name in ROOT_NAMES if (path := self.path / name).exists()), *elsewhere):
            key = SigningKey.load(path)
            if key.public_key not in wanted:
                raise IssuerError(
                    f"{path}: expected one of the root keys {' and '.join(root.key_id for root in wanted)} of issuer"
                    f" {ring.issuer}, found key {key.public_key.key_id}. Name the right file."
                )
            found[key.public_key.key_id] = key
        missing = [root.key_id for root in wanted if root.key_id not in found]
        if missing:
            raise IssuerError(
                f"a new key ring: expected both root keys, found {len(found)} of {len(wanted)}; missing:"
                f" {', '.join(missing)}. Bring {' and '.join(ROOT_NAMES)} back to {self.path} for as long as it takes,"
                " or name each with --root FILE."
            )
        return tuple(found[root.key_id] for root in wanted)

    def _must_exist(self) -> None:
        if not self.path.is_dir():
            raise IssuerError(
                f"{self.path}: expected an issuer's folder, found none. Make one: onsight license keyring init"
            )


def _damaged(path: Path, what: str, error: Exception) -> IssuerError:
    found = (error.strerror or str(error)) if isinstance(error, OSError) else str(error).partition(". ")[0]
    return IssuerError(
        f"{path}: expected {what}, found: {found}. Restore the file from a backup. It is not begun anew, since what was"
        " issued before would be forgotten."
    )
