"""Recorded versions on installs whose ONNX Runtime is one of its two editions."""

from __future__ import annotations

import importlib.metadata
from importlib.metadata import PackageNotFoundError

import pytest

from bundle.versions import library_versions


@pytest.mark.parametrize("edition", ["onnxruntime", "onnxruntime-gpu"])
def test_onnx_runtime_is_recorded_whichever_edition_is_installed(edition: str, monkeypatch: pytest.MonkeyPatch) -> None:
    installed = {"numpy": "2.4.6", edition: "1.31.1"}

    def version(name: str) -> str:
        if name not in installed:
            raise PackageNotFoundError(name)
        return installed[name]

    monkeypatch.setattr(importlib.metadata, "version", version)
    assert library_versions(("numpy", "onnxruntime")) == {"numpy": "2.4.6", "onnxruntime": "1.31.1"}


def test_a_library_that_is_not_installed_is_named() -> None:
    with pytest.raises(PackageNotFoundError, match="no-such-library"):
        library_versions(("no-such-library",))
