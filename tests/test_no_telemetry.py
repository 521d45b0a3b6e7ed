"""ONNX Runtime reports to its maker over the network by default; in our processes it never begins to."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

CI_HINTS = ("CI", "TF_BUILD", "GITHUB_ACTIONS", "JENKINS_URL", "GITLAB_CI")  # with these it would be silent by itself
CODE = """
import {first}
import onnxruntime
from onnx import TensorProto, helper
value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in ("x", "y")]
graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", value[:1], value[1:])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
"""


def traces(first: str, home: Path, **environment: str) -> list[str]:
    """What a session of ONNX Runtime leaves in a new home, after `import {first}`."""
    home.mkdir()
    clean = {name: value for name, value in os.environ.items() if not name.startswith("ORT_") and name not in CI_HINTS}
    subprocess.run(
        [sys.executable, "-c", CODE.format(first=first)],
        env={**clean, "HOME": str(home), "XDG_CACHE_HOME": str(home / ".cache"), **environment},
        check=True,
        timeout=60,
    )
    return sorted(path.name for path in home.rglob("*") if path.is_file())


@pytest.mark.parametrize("room", ["server", "trainer", "exporter"])
def test_a_session_leaves_no_device_id_and_no_queue_of_events(room: str, tmp_path: Path) -> None:
    assert traces(room, tmp_path / "home") == []


def test_it_would_leave_them_without_us(tmp_path: Path) -> None:
    found = traces("os", tmp_path / "home")
    if not found:
        pytest.skip("this build of ONNX Runtime, or this environment, has no telemetry: nothing is proven here")
    assert "deviceid" in found
