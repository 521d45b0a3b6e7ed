"""Folders of real image files, made by code."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from pictures import jpeg, picture


@pytest.fixture
def folder(tmp_path: Path) -> Callable[[Mapping[str, int | bytes | str]], Path]:
    """Write files into a folder: a number is the seed of a picture, text and bytes are themselves."""

    def write(files: Mapping[str, int | bytes | str]) -> Path:
        root = tmp_path / "photos"
        root.mkdir(exist_ok=True)
        for name, content in files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, int):
                path.write_bytes(jpeg(picture(content)))
            else:
                path.write_bytes(content.encode() if isinstance(content, str) else content)
        return root

    return write
