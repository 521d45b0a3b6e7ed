"""The trust store: a folder of public keys whose bundles this installation loads.

One PEM file a key, `<key id>.pem`, with the key's name on a line before the PEM block. A file put there by hand (any
name that ends in .pem) counts too and is named after its file. What a file is called proves nothing: the key id is
always computed from the key inside. A file that cannot be read never hides the others; it is told of by `problems`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bundle.errors import KeyFileError, UntrustedKey
from bundle.files import write_atomically
from bundle.keys import MAX_KEY_FILE_BYTES, PublicKey

MAX_NAME_LENGTH: Final = 100
_KEY_ID = re.compile(r"[0-9a-f]{16}")
_NAME_LINE = re.compile(rb"^Name: ([^\r\n]+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class TrustedKey:
    """A key, the name that the operator gave it, and the file it stands in."""

    public_key: PublicKey
    name: str
    path: Path

    @property
    def key_id(self) -> str:
        return self.public_key.key_id


def is_key_id(text: str) -> bool:
    """True for 16 lower-case hexadecimal digits."""
    return _KEY_ID.fullmatch(text) is not None


class TrustStore:
    """The trusted keys in `folder`, read anew at each call, so that a change needs no restart."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def add(self, public_key: PublicKey, name: str) -> TrustedKey:
        """Trust `public_key` under `name` (1 to 100 printable characters); a key added again only gets the new name.

        Raises KeyFileError for an unusable name or folder.
        """
        name = name.strip()
        if not 0 < len(name) <= MAX_NAME_LENGTH or not name.isprintable():
            raise KeyFileError(
                f"key name: expected 1 to {MAX_NAME_LENGTH} printable characters, found {name!r}. Choose another name."
            )
        path = self.folder / f"{public_key.key_id}.pem"
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_atomically(path, f"Name: {name}\n".encode() + public_key.to_pem())
        except OSError as error:
            raise _cannot_write(self.folder, error) from error
        return TrustedKey(public_key, name, path)

    def list(self) -> tuple[TrustedKey, ...]:
        """Every readable key once, sorted by name and then key id; empty where the folder does not exist."""
        return self._scan()[0]

    def problems(self) -> tuple[str, ...]:
        """One sentence for each .pem file that holds no usable public key."""
        return self._scan()[1]

    def get(self, key_id: str) -> TrustedKey:
        """The key with this id. Raises UntrustedKey."""
        keys, problems = self._scan()
        for key in keys:
            if key.key_id == key_id:
                return key
        known = ", ".join(f"{key.key_id} ({key.name})" for key in keys[:5]) or "no key at all"
        # without the folder: this text also goes to a server's clients, whom the operator's paths do not concern
        told = "".join(f" Unreadable: {problem.replace(f'{self.folder}/', '')}" for problem in problems[:3])
        raise UntrustedKey(
            f"signed with key {key_id}, expected a key in the trust store, which holds {known}."
            f" If you know whose key it is, add their public key file: onsight trust add FILE.{told}"
        )

    def remove(self, key_id: str) -> None:
        """Trust this key no longer, under whatever file names it stands. Raises UntrustedKey if it is not there."""
        if all(key.key_id != key_id for key in self.list()):
            raise UntrustedKey(
                f"{key_id}: expected the id of a trusted key, found none of that id. `onsight trust list` prints them."
            )
        try:
            for path, key in self._read_all():
                if isinstance(key, TrustedKey) and key.key_id == key_id:
                    path.unlink(missing_ok=True)
        except OSError as error:
            raise _cannot_write(self.folder, error) from error

    def _scan(self) -> tuple[tuple[TrustedKey, ...], tuple[str, ...]]:
        keys: dict[str, TrustedKey] = {}
        problems: list[str] = []
        for path, key in self._read_all():
            if isinstance(key, KeyFileError):
                problems.append(str(key))
            elif key.key_id not in keys or path.stem == key.key_id:  # our own file's name wins over a copy's
                keys[key.key_id] = key
        return tuple(sorted(keys.values(), key=lambda key: (key.name, key.key_id))), tuple(problems)

    def _read_all(self) -> Sequence[tuple[Path, TrustedKey | KeyFileError]]:
        try:
            paths = sorted(path for path in self.folder.iterdir() if path.suffix == ".pem" and path.name[0] != ".")
        except FileNotFoundError:
            return []
        except OSError as error:
            raise KeyFileError(
                f"{self.folder}: expected a folder of trusted keys, found {error.strerror or error}."
                " Check the path and its permissions."
            ) from error
        return [(path, _read_trusted_key(path)) for path in paths]


def _read_trusted_key(path: Path) -> TrustedKey | KeyFileError:
    try:
        public_key = PublicKey.load(path)
        with path.open("rb") as file:
            data = file.read(MAX_KEY_FILE_BYTES)
    except KeyFileError as error:
        return error
    except OSError as error:
        return KeyFileError(f"{path}: expected a key file, found {error.strerror or error}. Check its permissions.")
    line = _NAME_LINE.search(data.partition(b"-----BEGIN")[0])
    name = line[1].decode("utf-8", "replace").strip()[:MAX_NAME_LENGTH] if line else path.stem
    return TrustedKey(public_key, name if name.isprintable() and name else path.stem, path)


def _cannot_write(folder: Path, error: OSError) -> KeyFileError:
    return KeyFileError(
        f"{folder}: expected a folder that can be written, found {error.strerror or error}."
        " Check the path, its permissions and the free space."
    )
