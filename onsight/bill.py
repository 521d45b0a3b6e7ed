"""A bill of materials of this install: CycloneDX 1.6, from what Python knows of its own packages.

In this order: every distribution that this Python would import, its licence and what it was installed from, what is
bundled in the studio's pages, then who needs whom, from the requirements that apply here. Equal installs give equal
documents but for the time, which can be given. Knows Python packages, the interpreter and the pages' packages; not the
libraries of the operating system. Never uses the network.
"""

from __future__ import annotations

import base64
import json
import platform
import re
import uuid
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

import studio

OWN: Final = "onsight"
SPEC_VERSION: Final = "1.6"
_NAMESPACE: Final = uuid.UUID("6f7c6f0e-4f0e-5d0b-9f0a-0f6a3c1d7e55")  # of serial numbers; any constant would do
_LICENSE_CLASSIFIER: Final = "License :: "
_LONGEST_LICENSE_NAME: Final = 100  # some packages put the whole text there

Component = dict[str, Any]


def make_bill(
    now: datetime, with_files: bool = False, installed: Iterable[Distribution] | None = None,
    bundled: Iterable[Mapping[str, str]] = (),
) -> dict[str, Any]:  # fmt: skip
    """The document, ready for JSON. now: with a time zone.  with_files: every installed file, with its SHA-256.

    installed: for tests; by default what this Python would import.  bundled: see `bundled_in_pages`.
    """
    found = _by_name(distributions() if installed is None else installed)
    components = [_component(found[name], with_files) for name in sorted(found) if name != OWN]
    interpreter = _interpreter()
    components.append(interpreter)
    in_pages = [_bundled(each) for each in bundled]
    components += in_pages
    own = {**_component(found[OWN], with_files), "type": "application"}
    refs = {name: _purl(distribution) for name, distribution in found.items()}
    needs = needed_by(found)
    dependencies = [
        {"ref": refs[name], "dependsOn": sorted(refs[other] for other in needs.get(name, ()))} for name in sorted(found)
    ]
    for each in dependencies:
        if each["ref"] == own["bom-ref"]:
            each["dependsOn"] = sorted([*each["dependsOn"], *(one["bom-ref"] for one in (interpreter, *in_pages))])
    dependencies += [{"ref": one["bom-ref"], "dependsOn": []} for one in (interpreter, *in_pages)]
    content = {"component": own, "components": components, "dependencies": dependencies}
    serial = uuid.uuid5(_NAMESPACE, json.dumps(content, sort_keys=True))
    return {
        "$schema": f"http://cyclonedx.org/schema/bom-{SPEC_VERSION}.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": SPEC_VERSION,
        "serialNumber": serial.urn,
        "version": 1,
        "metadata": {
            "timestamp": now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "tools": {"components": [{"type": "application", "name": OWN, "version": found[OWN].version}]},
            "component": own,
        },
        "components": components,
        "dependencies": dependencies,
    }


def bundled_in_pages() -> list[dict[str, str]]:
    """The packages in the studio's pages, as their build lists them: name, version, identifier of the licence, text."""
    path = Path(studio.__file__).parent / "web/dist/licenses.json"
    found: list[dict[str, str]] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    return found


def needed_by(found: Mapping[str, Distribution]) -> dict[str, set[str]]:
    """Name -> names of the installed distributions that it needs here; from Onsight with the extras that are whole.

    A package that nothing asks for with an extra needs what it needs without.
    """
    own = found.get(OWN)
    extras = {} if own is None else {OWN: _whole_extras(own, found)}
    wanted = [(name, extra) for name in found for extra in ("", *extras.get(name, ()))]
    seen = set(wanted)
    needs: dict[str, set[str]] = {}
    while wanted:
        name, extra = wanted.pop()
        for requirement in _requirements(found[name]):
            other = canonicalize_name(requirement.name)
            if other not in found or not _applies(requirement, extra):
                continue
            if other != name:
                needs.setdefault(name, set()).add(other)
            new = {(str(other), each) for each in requirement.extras} - seen
            seen |= new
            wanted.extend(new)
    return needs


def _whole_extras(own: Distribution, found: Mapping[str, Distribution]) -> list[str]:
    """Extras of which everything is installed."""
    extras = []
    for extra in own.metadata.get_all("Provides-Extra") or []:
        asked = [each for each in _requirements(own) if _applies(each, extra) and not _applies(each, "")]
        if asked and all(canonicalize_name(each.name) in found for each in asked):
            extras.append(extra)
    return extras


def _requirements(distribution: Distribution) -> list[Requirement]:
    found = []
    for text in distribution.requires or []:
        try:
            found.append(Requirement(text))
        except InvalidRequirement:  # pip installed it all the same; what it meant cannot be known
            continue
    return found


def _applies(requirement: Requirement, extra: str) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": extra})


def _by_name(installed: Iterable[Distribution]) -> dict[str, Distribution]:
    """The first of a name is the one that is imported."""
    found: dict[str, Distribution] = {}
    for each in installed:
        if each.metadata["Name"]:
            found.setdefault(canonicalize_name(each.metadata["Name"]), each)
    return found


def _component(distribution: Distribution, with_files: bool) -> Component:
    metadata, purl = distribution.metadata, _purl(distribution)
    component: Component = {
        "type": "library",
        "bom-ref": purl,
        "name": metadata["Name"],
        "version": distribution.version,
        "purl": purl,
    }
    if metadata["Summary"]:
        component["description"] = metadata["Summary"]
    if licenses := _licenses(distribution):
        component["licenses"] = licenses
    if archive := _archive_sha256(distribution):
        component["hashes"] = [{"alg": "SHA-256", "content": archive}]
    if with_files and (files := _files(distribution)):
        component["components"] = files
    return component


def _bundled(package: Mapping[str, str]) -> Component:
    name, version = package["name"], package["version"]
    purl = f"pkg:npm/{quote(name, safe='/')}@{quote(version, safe='')}"
    component: Component = {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}
    if package.get("identifier"):
        component["licenses"] = [{"expression": package["identifier"]}]
    return component


def _purl(distribution: Distribution) -> str:
    name = canonicalize_name(distribution.metadata["Name"])
    return f"pkg:pypi/{name}@{quote(distribution.version, safe='')}"


def _licenses(distribution: Distribution) -> list[dict[str, Any]]:
    """An SPDX expression where the package states one, else the names that it gives."""
    metadata = distribution.metadata
    if expression := metadata["License-Expression"]:
        return [{"expression": expression}]
    classifiers = [
        each.split(" :: ")[-1]
        for each in metadata.get_all("Classifier") or []
        if each.startswith(_LICENSE_CLASSIFIER) and each != "License :: OSI Approved"
    ]
    stated = (metadata["License"] or "").strip()
    usable = stated and stated != "UNKNOWN" and "\n" not in stated and len(stated) <= _LONGEST_LICENSE_NAME
    names = [stated] if usable else classifiers
    return [{"license": {"name": name}} for name in dict.fromkeys(names)]


def _archive_sha256(distribution: Distribution) -> str | None:
    """Of the archive that it was installed from, where the installer wrote it down."""
    try:
        facts = json.loads(distribution.read_text("direct_url.json") or "{}")
        found = facts.get("archive_info", {}).get("hashes", {}).get("sha256")
    except (ValueError, AttributeError):
        return None
    return found if isinstance(found, str) and re.fullmatch(r"[0-9a-f]{64}", found) else None


def _files(distribution: Distribution) -> list[Component]:
    """As RECORD lists them; RECORD itself and compiled caches have no digest there."""
    return [
        {
            "type": "file",
            "name": str(path),
            "hashes": [{"alg": "SHA-256", "content": _hex(path.hash.value)}],
        }
        for path in sorted(distribution.files or [], key=str)
        if path.hash is not None and path.hash.mode == "sha256"
    ]


def _hex(digest: str) -> str:
    """RECORD has digests in base64 without padding."""
    return base64.urlsafe_b64decode(digest + "=" * (-len(digest) % 4)).hex()


def _interpreter() -> Component:
    name, version = platform.python_implementation(), platform.python_version()
    purl = f"pkg:generic/{name.lower()}@{quote(version, safe='')}"
    return {"type": "platform", "bom-ref": purl, "name": name, "version": version, "purl": purl}
