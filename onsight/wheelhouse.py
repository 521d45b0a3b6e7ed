"""A wheelhouse: everything that a host without a network needs to install Onsight, in one folder.

In this order: build our wheel, with the studio's pages where the studio comes along, ask pip which others, fetch those
that are missing, add installer, pins and a README, prove that pip finds all it needs in the folder, and write
SHA256SUMS last: a folder without it is unfinished, and the installer refuses it. Keeps what an interrupted run has
fetched.
"""

from __future__ import annotations

import hashlib
import platform
import re
import shutil
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from onsight.packages import PackagingFailed, Pip, Requirement, build_pages

CONF, SUMS, CONSTRAINTS, README = "wheelhouse.conf", "SHA256SUMS", "constraints.txt", "README.txt"
SOURCE_NEEDS = ("pyproject.toml", CONSTRAINTS, "scripts/install_linux.sh", "scripts/install", "scripts/systemd")
RUNTIMES = ("server", "gpu")
OLD_PLATFORM_TAGS = {"manylinux1": (2, 5), "manylinux2010": (2, 12), "manylinux2014": (2, 17)}

Progress = Callable[[str, int, int], None]  # (what is being done, steps done, steps in all)


@dataclass(frozen=True, slots=True)
class Wheelhouse:
    """A finished one. fingerprint: SHA-256 of SHA256SUMS, which the installer prints too."""

    folder: Path
    version: str
    extras: str
    python: str
    machine: str
    glibc: str
    wheels: int
    size_bytes: int
    fingerprint: str


def check_source(source: Path) -> None:
    """Raises PackagingFailed unless this is a source tree of Onsight."""
    missing = [name for name in SOURCE_NEEDS if not (source / name).exists()]
    if missing:
        raise PackagingFailed(
            f"{source}: expected Onsight's source tree, found no {missing[0]}. An installed package lacks the installer"
            " and the pins: run the command in a checkout, or name one with --source."
        )


def make_wheelhouse(source: Path, folder: Path, extras: tuple[str, ...], progress: Progress) -> Wheelhouse:
    """Make or finish the wheelhouse in `folder`, for this Python on this machine.

    extras: of onsight, with exactly one of server and gpu.  Raises PackagingFailed.
    """
    check_source(source)
    if len(set(RUNTIMES) & set(extras)) != 1:
        raise PackagingFailed(f"extras: expected exactly one of server and gpu among them, found {','.join(extras)}.")
    _claim(folder)
    wheels, names = folder / "wheels", ",".join(dict.fromkeys(extras))
    pip = Pip(source / CONSTRAINTS)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".building-") as temporary:
        progress("building", 0, 1)
        if "studio" in extras:
            build_pages(source)
        own = pip.build(source, Path(temporary))
        if unknown := set(extras) - own.extras:
            raise PackagingFailed(
                f"extras: expected some of {', '.join(sorted(own.extras))}, found {', '.join(sorted(unknown))}."
            )
        progress("choosing packages", 0, 1)
        wanted = pip.resolve(own, names, Path(temporary) / "report.json")
        _remove_others(wheels, {own.path.name, *(requirement.file_name for requirement in wanted)})
        shutil.copyfile(own.path, wheels / own.path.name)
    _fetch(pip, wanted, wheels, progress)
    glibc = needed_glibc(path.name for path in wheels.iterdir())
    python, machine = f"{sys.version_info[0]}.{sys.version_info[1]}", platform.machine()
    facts = {"VERSION": own.version, "EXTRAS": names, "PYTHON": python, "MACHINE": machine, "GLIBC": glibc}
    (folder / CONF).write_text("".join(f"{key}={value}\n" for key, value in facts.items()), encoding="utf-8")
    _copy_installer(source, folder)
    (folder / README).write_text(_readme(own.version, names, python, machine, glibc), encoding="utf-8")
    progress("trying it", 0, 1)
    pip.prove(wheels, names, own.version)
    fingerprint, size_bytes = _write_sums(folder, progress)
    return Wheelhouse(
        folder, own.version, names, python, machine, glibc, len(list(wheels.iterdir())), size_bytes, fingerprint
    )


def pack_tar(folder: Path, progress: Progress) -> Path:
    """`folder`.tar with all of it: not compressed, as wheels are already, and equal for equal files."""
    out = folder.with_name(folder.name + ".tar")
    unfinished = out.with_name(out.name + ".unfinished")
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]

    def plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
        entry.uid = entry.gid = 0
        entry.uname = entry.gname = "root"
        entry.mtime = 0
        entry.mode = 0o755 if entry.mode & 0o100 else 0o644
        return entry

    with tarfile.open(unfinished, "w") as archive:
        for done, path in enumerate(paths, 1):
            archive.add(path, f"{folder.name}/{path.relative_to(folder)}", recursive=False, filter=plain)
            progress("packing", done, len(paths))
    unfinished.replace(out)
    return out


def needed_glibc(wheel_names: Iterable[str]) -> str:
    """The oldest glibc on which all of these wheels run, "2.28", or "" where none needs one."""
    needs: list[tuple[int, int]] = []
    for name in wheel_names:
        tags = name.removesuffix(".whl").rpartition("-")[2].split(".")
        found = [(int(m[1]), int(m[2])) for tag in tags if (m := re.match(r"manylinux_(\d+)_(\d+)_", tag))]
        found += [OLD_PLATFORM_TAGS[old] for tag in tags if (old := tag.partition("_")[0]) in OLD_PLATFORM_TAGS]
        if found:
            needs.append(min(found))  # the wheel says so itself: any of its tags will do
    return "{}.{}".format(*max(needs)) if needs else ""


def _claim(folder: Path) -> None:
    """Make the folder, or go on in one that is a wheelhouse; it counts as unfinished from here on."""
    if folder.exists() and not folder.is_dir():
        raise PackagingFailed(f"{folder}: expected a folder, or nothing yet, found a file.")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / CONF).exists():
        raise PackagingFailed(f"{folder}: expected an empty folder or a wheelhouse, found other files. Name another.")
    (folder / "wheels").mkdir(parents=True, exist_ok=True)
    (folder / CONF).touch()
    (folder / SUMS).unlink(missing_ok=True)
    for left in folder.glob(".building-*"):
        shutil.rmtree(left)


def _remove_others(wheels: Path, wanted: set[str]) -> None:
    for path in wheels.iterdir():
        if path.name not in wanted:
            path.unlink()


def _fetch(pip: Pip, wanted: list[Requirement], wheels: Path, progress: Progress) -> None:
    for done, requirement in enumerate(wanted, 1):
        path = wheels / requirement.file_name
        if not (path.exists() and requirement.sha256 and _sha256(path) == requirement.sha256):
            path.unlink(missing_ok=True)
            pip.fetch(requirement, wheels)
        progress("fetching", done, len(wanted))


def _copy_installer(source: Path, folder: Path) -> None:
    shutil.copyfile(source / CONSTRAINTS, folder / CONSTRAINTS)
    scripts = folder / "scripts"
    shutil.rmtree(scripts, ignore_errors=True)
    scripts.mkdir()
    shutil.copy(source / "scripts/install_linux.sh", scripts)
    for name in ("install", "systemd"):
        shutil.copytree(source / "scripts" / name, scripts / name, ignore=shutil.ignore_patterns("__pycache__"))


def _write_sums(folder: Path, progress: Progress) -> tuple[str, int]:
    """Write SHA256SUMS in sha256sum's format, over every other file. Returns its own digest, and all bytes."""
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    lines, size_bytes = [], 0
    for done, path in enumerate(paths, 1):
        lines.append(f"{_sha256(path)}  {path.relative_to(folder).as_posix()}\n")
        size_bytes += path.stat().st_size
        progress("digests", done, len(paths))
    unfinished = folder / f"{SUMS}.unfinished"
    unfinished.write_text("".join(lines), encoding="utf-8")
    unfinished.replace(folder / SUMS)
    return _sha256(folder / SUMS), size_bytes


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _readme(version: str, extras: str, python: str, machine: str, glibc: str) -> str:
    needs = f"Linux on {machine}, Python {python} with venv" + (f", glibc {glibc} or newer" if glibc else "")
    return f"""Onsight {version} [{extras}] for hosts without a network.

The host needs: {needs}. Copy this folder there, and in it:

    sudo scripts/install_linux.sh --offline . --service     # as a system service; again with a newer folder: an upgrade
    scripts/install_linux.sh --offline .                    # or, without root: an environment in this folder (.venv)

The installer compares every file with SHA256SUMS and prints the fingerprint of that list. It must be the one that
`onsight pack-offline` printed where this folder was made. docs/deployment.md in the sources has the rest.
"""
