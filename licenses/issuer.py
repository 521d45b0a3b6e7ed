"""The issuer's side: what it signs, and how that is numbered and remembered.

Each change holds the folder's lock, in this order: read the register and the ring, check what is asked, sign, check the
result as a customer's install would, write the register, hand out. So a number is never used twice, and nothing is out
that the register does not know. The root keys are needed for a new ring alone.
"""

from __future__ import annotations

import hashlib
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pydantic import ValidationError

from bundle.keys import PublicKey, SigningKey
from bundle.reasons import first_complaint
from licenses.binding import moved
from licenses.claims import ReleaseDocument, RequestDocument, RingKey, Terms, text_of
from licenses.errors import IssuerError, LicenseError
from licenses.keyring import KeyRing, Use
from licenses.license import License
from licenses.register import ROOT_NAMES, Entry, IssuerFolder, Register
from licenses.revocation import RevocationList, open_revocations
from licenses.rotation import SLACK, first_ring, next_ring, outgoing, ring_key, stolen
from licenses.signing import fits, sign_license, sign_revocations


@dataclass(frozen=True, slots=True)
class Issuer:
    """An issuer, kept in a folder; safe to use from several processes at once."""

    folder: IssuerFolder

    @classmethod
    def create(cls, path: Path, name: str | None, now: datetime, bundle_keys: Sequence[PublicKey] = ()) -> Issuer:
        """Make an issuer with new keys; of two processes at once one fails.

        name: what customers read; None: after its id. bundle_keys: what it signs bundles with.
        Raises IssuerError where there is one already, or for a name that cannot be.
        """
        roots = [SigningKey.generate() for _ in ROOT_NAMES]
        keys: dict[Use, SigningKey] = {"licence": SigningKey.generate(), "crl": SigningKey.generate()}
        entries = [ring_key(use, key.public_key, now) for use, key in keys.items()]
        entries += [ring_key("bundle", public, now) for public in dict.fromkeys(bundle_keys)]
        ring = first_ring(name, roots, entries, now)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        making = IssuerFolder(path.with_name(f".{path.name}.{secrets.token_hex(8)}"))  # appears whole or not at all
        making.path.mkdir(mode=0o700)
        try:
            for file_name, root in zip(ROOT_NAMES, roots, strict=True):
                root.save(making.path / file_name)
            for use, key in keys.items():
                key.save(making.key_path(use, key.public_key.key_id))
            making.write_ring(ring)
            making.write_register(Register(issuer=ring.issuer, ring_seq=ring.seq))
            making.path.rename(path)
        except OSError as error:
            if not path.exists():
                raise
            raise IssuerError(
                f"{path}: expected no issuer yet, found one. Its keys are never overwritten: go on with it, or move the"
                " folder away if no licence of it is in use."
            ) from error
        finally:
            shutil.rmtree(making.path, ignore_errors=True)
        return cls.load(path)

    @classmethod
    def load(cls, path: Path) -> Issuer:
        """Raises IssuerError where there is none, or where its register or ring is damaged."""
        issuer = cls(IssuerFolder(path))
        issuer.folder.read()
        return issuer

    @property
    def ring(self) -> KeyRing:
        """The newest."""
        return self.folder.read()[1]

    @property
    def entries(self) -> tuple[Entry, ...]:
        """All that was issued, oldest first."""
        return tuple(self.folder.read()[0].licences.values())

    def entry(self, lic_id: str) -> Entry:
        """Raises IssuerError where nothing of that id was issued."""
        return self.folder.read()[0].entry(lic_id)

    def issue(self, terms: Terms, now: datetime) -> License:
        """A new licence, valid from now. Raises IssuerError, KeyFileError."""
        with self._locked(now) as (register, ring):
            while (lic_id := f"lic-{secrets.token_hex(5)}") in register.licences:
                pass
            made = sign_license(self.folder, ring, terms, lic_id, 1, now, now)
            self.folder.write_register(register.with_license(made))
        return made

    def renew(self, lic_id: str, now: datetime, terms: Terms | None = None) -> License:
        """The next file of a licence. terms: None: as they were. Raises IssuerError, KeyFileError."""
        with self._locked(now) as (register, ring):
            old = register.going_on(lic_id).claims
            made = sign_license(self.folder, ring, old if terms is None else terms, lic_id, old.seq + 1, now, old.nbf)
            self.folder.write_register(register.with_license(made))
        return made

    def transfer(self, release: ReleaseDocument, request: RequestDocument, now: datetime) -> License:
        """The next file of a licence that one install has released and another asks for.

        Raises IssuerError for a release that is not for this issuer or was used before, LicenseError (HOST_MISMATCH)
        for one by an install that does not hold the licence.
        """
        with self._locked(now) as (register, ring):
            if release.issuer != ring.issuer:
                raise IssuerError(
                    f"release: expected one of a licence of issuer {ring.issuer}, found one of {release.issuer}. Give"
                    " it to that issuer."
                )
            entry = register.going_on(release.lic_id)
            used = hashlib.sha256(release.model_dump_json().encode()).hexdigest()[:32]
            if used in entry.releases:
                raise IssuerError(
                    f"release of {release.lic_id}: expected a new one, found one that has moved the licence before."
                    " Run `onsight license transfer` on the install that holds it now."
                )
            old = entry.claims
            terms = old.model_copy(update={"binding": moved(old.binding, release, request)})
            made = sign_license(self.folder, ring, terms, old.lic_id, old.seq + 1, now, old.nbf)
            self.folder.write_register(register.with_license(made, [used]))
        return made

    def revoke(self, lic_id: str, reason: str, now: datetime) -> RevocationList:
        """Take a licence back: it counts no longer where this list, or a later one, is installed.

        reason: what its holder reads, 1 to 200 printable characters. Raises IssuerError, KeyFileError.
        """
        with self._locked(now) as (register, ring):
            try:
                entry = Entry.model_validate({**register.entry(lic_id).model_dump(), "revoked": reason})
            except ValidationError as error:
                raise IssuerError(f"reason: {first_complaint(error)}. Choose another one.") from error
            return self._sign_revocations(register.with_entry(entry), ring, now)

    def revocations(self, now: datetime) -> RevocationList:
        """A new list of all that is revoked. Raises IssuerError, KeyFileError."""
        with self._locked(now) as (register, ring):
            return self._sign_revocations(register, ring, now)

    def response(self, made: License | None, now: datetime) -> bytes:
        """The file that a customer installs: key ring, licence, and the revocation list if there ever was one.

        made: None: the ring and the list alone. With a new key for lists the ring ends the lists of the old one, so
        that a ring without a list would make revoked licences count again. A list for which there is no room is left
        out; it can be handed out as a file of its own.
        """
        with self._locked(now) as (register, ring):
            data = ring.sealed.to_bytes() + (b"" if made is None else made.sealed.to_bytes())
            if register.crl_seq:
                revocations = self._present_revocations(register, ring, now).sealed.to_bytes()
                data += revocations if fits(data, revocations) else b""
        return data

    def rotate(
        self, use: Use, now: datetime, compromised: bool = False, overlap_days: int = 90, *,
        bundle_key: PublicKey | None = None, roots: Sequence[Path] = (),
    ) -> KeyRing:  # fmt: skip
        """A new key for `use`, and a new ring. Older keys of that use count on for the overlap; compromised ones, from
        now on, only for what the register says they signed. Lists are signed anew when they are next asked for.

        bundle_key: the new key where use is bundle; its private half is no matter of this folder. roots: files of root
        keys that are not in the folder. Raises IssuerError (a root is missing, say), KeyFileError.
        """
        if (use == "bundle") != (bundle_key is not None):
            raise IssuerError(
                f"key ring: expected a public key with the use bundle and with it alone, found use {use}."
            )
        with self._locked(now) as (register, ring):
            keys = list(ring.document.keys)
            for place, key in enumerate(keys):
                if key.use == use and not key.revoked:
                    signed = register.signed_by(key.key_id)
                    keys[place] = stolen(key, signed) if compromised else outgoing(key, now, overlap_days)
            return self._change_ring(register, ring, keys, use, bundle_key, roots, now)

    def add_bundle_key(self, public: PublicKey, now: datetime, roots: Sequence[Path] = ()) -> KeyRing:
        """A new ring with a further key that signs this issuer's bundles, of a build host say. Raises as `rotate`."""
        with self._locked(now) as (register, ring):
            return self._change_ring(register, ring, ring.document.keys, "bundle", public, roots, now)

    @contextmanager
    def _locked(self, now: datetime) -> Iterator[tuple[Register, KeyRing]]:
        with self.folder.locked() as (register, ring):
            if now <= ring.iat - SLACK:
                raise IssuerError(
                    f"clock: expected a time after {text_of(ring.iat)}, when the key ring was signed, found"
                    f" {text_of(now)}. Set this machine's clock: what is signed is dated by it."
                )
            yield register, ring

    def _sign_revocations(self, register: Register, ring: KeyRing, now: datetime) -> RevocationList:
        made = sign_revocations(self.folder, ring, register.crl_seq + 1, register.revoked, now)
        self.folder.write_register(register.model_copy(update={"crl_seq": made.document.seq}))
        self.folder.write_revocations(made.sealed)
        return made

    def _present_revocations(self, register: Register, ring: KeyRing, now: datetime) -> RevocationList:
        """The kept list, unless it is lost, out of date or signed by a key that counts no longer."""
        sealed = self.folder.revocations()
        try:
            kept = sealed and open_revocations(sealed, ring)
        except LicenseError:
            kept = None
        if kept and kept.document.seq == register.crl_seq:
            return kept
        return self._sign_revocations(register, ring, now)

    def _change_ring(
        self, register: Register, ring: KeyRing, keys: Sequence[RingKey], use: Use, public: PublicKey | None,
        roots: Sequence[Path], now: datetime,
    ) -> KeyRing:  # fmt: skip
        """Add a key, sign, write. The key's file comes first and the register last: what breaks off between leaves a
        key that nobody uses, or a ring of a higher number than the register knows of, and both do no harm."""
        signers = self.folder.roots(ring, roots)
        made = SigningKey.generate()
        new = made.public_key if public is None else public
        if new.raw.hex() in (key.public for key in ring.document.keys):
            raise IssuerError(f"key ring: expected a new key, found {new.key_id}, which it holds. Name another file.")
        changed = next_ring(ring, [*keys, ring_key(use, new, now)], signers, now)
        if public is None:
            made.save(self.folder.key_path(use, new.key_id))
        self.folder.write_ring(changed)
        self.folder.write_register(register.model_copy(update={"ring_seq": changed.seq}))
        return changed
