"""Things that an operator, a full disk or an attacker may put where a good bundle was: by name, how to put it there."""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from color_bundle import color_graph
from running_server import Install

from bundle.archive import read_archive
from bundle.keys import SigningKey

Spoil = Callable[[Install, Path], None]


def _flip(file: str, at: float) -> Spoil:
    """One byte of one file in the archive, at this fraction of it; the archive itself stays sound."""

    def spoil(_install: Install, path: Path) -> None:
        entries = read_archive(path)
        data = bytearray(entries[file])
        data[int(len(data) * at)] ^= 1
        path.write_bytes(_zip({**entries, file: bytes(data)}))

    return spoil


def _cut(keep: float) -> Spoil:
    def spoil(_install: Install, path: Path) -> None:
        path.write_bytes(path.read_bytes()[: int(path.stat().st_size * keep)])

    return spoil


def _bundle(**options: object) -> Spoil:
    return lambda install, path: void(install.add_bundle(path.name, version="7", **options))


def _zip(entries: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression, allowZip64=False) as archive:
        for name, data in entries.items():
            archive.writestr(zipfile.ZipInfo(name), data, compression)
    return out.getvalue()


def _write(make: Callable[[Path], bytes]) -> Spoil:
    return lambda _install, path: void(path.write_bytes(make(path)))


def _instead(make: Callable[[Path], object]) -> Spoil:
    def spoil(_install: Install, path: Path) -> None:
        path.unlink()
        make(path)

    return spoil


def _other_schema(_install: Install, path: Path) -> None:
    entries = read_archive(path)
    manifest = json.dumps({**json.loads(entries["manifest.json"]), "schema_version": 99}).encode()
    path.write_bytes(_zip({**entries, "manifest.json": manifest}))


def _junk_folder(path: Path) -> None:
    path.mkdir()
    (path / "manifest.json").write_text("{}")
    (path / "manifest.sig").write_bytes(b"x")


def void(_: object) -> None:
    """So that a lambda may end with an action."""


BAD_BUNDLES: dict[str, Spoil] = {
    "text": _write(lambda _: b"not a bundle"),
    "nothing": _write(lambda _: b""),
    "noise": _write(lambda _: np.random.default_rng(5).bytes(300_000)),
    "cut at the end": _cut(0.98),
    "cut in half": _cut(0.5),
    "another megabyte at the end": _write(lambda path: path.read_bytes() + bytes(1 << 20)),
    "a byte of the graph": _flip("model.onnx", 0.5),
    "a byte of the golden answers": _flip("golden.npz", 0.5),
    "a byte of the manifest": _flip("manifest.json", 0.5),
    "a byte of the signature": _flip("manifest.sig", 0.5),
    "compressed": _write(lambda path: _zip(read_archive(path), zipfile.ZIP_DEFLATED)),
    "a file that nobody listed": _write(lambda path: _zip({**read_archive(path), "more.bin": b"x"})),
    "a name that climbs": _write(lambda path: _zip({**read_archive(path), "../up": b"x"})),
    "another schema": _other_schema,
    "four gigabytes": lambda _, path: os.truncate(path, 4 << 30),  # sparse: it takes no room
    "an empty folder": _instead(Path.mkdir),
    "a folder of junk": _instead(_junk_folder),
    "a link to nowhere": _instead(lambda path: path.symlink_to("/nonexistent")),
    "a link to a file of the system": _instead(lambda path: path.symlink_to("/etc/passwd")),
    "a named pipe": _instead(os.mkfifo),
    "a stranger's key": _bundle(key=SigningKey.generate()),
    "other scores than its golden ones": _bundle(golden_shift=0.01),
    "another graph than its golden scores are from": _bundle(graph=color_graph(gain=0.01)),
    "a graph that answers with no number": _bundle(graph=color_graph(gain=float("nan"))),
    "a graph for one image alone": _bundle(graph=color_graph(fixed_batch=True)),
    "a graph that is none": _bundle(graph=b"\x08\x0anot a graph"),
    "a bad model of another name": _bundle(golden_shift=0.5, name="other"),
}
