"""Asking the NVIDIA driver what there is: a driver that is not there, one that answers, and those that misbehave."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from server.engines.device_memory import open_device_memory, require_device
from server.engines.device_probe import Device, DeviceProbe, probe_devices
from server.errors import DeviceFailed, ProviderMismatch

L4 = Device(0, "NVIDIA L4", "GPU-00010203-0405-0607-0809-0a0b0c0d0e0f", (8, 9), 58, 23 * 1024**3)

# As much of the driver's interface as is asked for. A real one is more, and is asked in the same way.
DRIVER = r"""
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
int cuInit(unsigned flags) { (void)flags; ON_INIT; return 0; }
int cuDriverGetVersion(int *version) { *version = 13010; return 0; }
int cuDeviceGetCount(int *count) { *count = DEVICES; return 0; }
int cuDeviceGet(int *device, int ordinal) { *device = ordinal; return 0; }
int cuDeviceGetName(char *name, int size, int device) { (void)device; strncpy(name, "NVIDIA L4", size); return 0; }
int cuDeviceGetUuid_v2(unsigned char *uuid, int device) {
  for (int i = 0; i < 16; i++) uuid[i] = i + 16 * device;
  return 0;
}
int cuDeviceTotalMem_v2(size_t *size, int device) { (void)device; *size = 23ULL << 30; return 0; }
int cuDeviceGetAttribute(int *value, int attribute, int device) {
  (void)device;
  *value = attribute == 75 ? 8 : attribute == 76 ? 9 : attribute == 16 ? 58 : -1;
  return 0;
}
int cuGetErrorName(int error, const char **name) {
  *name = error == 802 ? "CUDA_ERROR_SYSTEM_NOT_READY" : 0;
  return *name ? 0 : 1;
}
"""
MANAGEMENT = r"""
#include <string.h>
int nvmlInit_v2(void) { return 0; }
int nvmlSystemGetDriverVersion(char *version, unsigned size) { strncpy(version, "580.82.07", size); return 0; }
"""


def install(folder: Path, on_init: str = "", devices: int = 2) -> dict[str, str]:
    """An environment whose programs find this driver."""
    gcc = shutil.which("gcc")
    if gcc is None:
        pytest.skip("needs gcc, to make a driver that answers as told")
    for name, code in (("libcuda.so.1", DRIVER), ("libnvidia-ml.so.1", MANAGEMENT)):
        source = folder / "driver.c"
        source.write_text(code)
        flags = [f"-DON_INIT={on_init}", f"-DDEVICES={devices}"]
        subprocess.run([gcc, "-shared", "-fPIC", *flags, "-o", folder / name, source], check=True)
    return {**os.environ, "LD_LIBRARY_PATH": str(folder)}


def test_a_driver_is_asked_for_everything_that_tells_devices_apart(tmp_path: Path) -> None:
    probe = probe_devices(environ=install(tmp_path))
    assert probe.reason is None
    assert (probe.driver_version, probe.cuda_version) == ("580.82.07", "13.1")
    assert probe.devices[0] == L4
    assert probe.devices[1].uuid == "GPU-10111213-1415-1617-1819-1a1b1c1d1e1f"
    assert require_device(probe, 1).index == 1
    with pytest.raises(ProviderMismatch, match=r"device 2: expected an NVIDIA GPU, found 2 device\(s\)"):
        require_device(probe, 2)


def test_a_machine_without_a_driver_says_so(tmp_path: Path) -> None:
    if Path("/dev/nvidia0").exists():
        pytest.skip("this machine has an NVIDIA driver")
    probe = probe_devices()
    assert probe == DeviceProbe(reason="no NVIDIA driver: libcuda.so.1 is not on this machine")
    with pytest.raises(ProviderMismatch, match=r"found no NVIDIA driver.*Install the NVIDIA driver"):
        open_device_memory(probe, 0)


@pytest.mark.parametrize(
    ("on_init", "devices", "reason"),
    [
        ("", 0, "the NVIDIA driver has no device"),
        ("return 100", 1, "the NVIDIA driver has no device that this process may use"),
        ("return 802", 1, "the NVIDIA driver fails at cuInit: CUDA_ERROR_SYSTEM_NOT_READY"),
        ("return 4711", 1, "the NVIDIA driver fails at cuInit: 4711"),
        ("raise(SIGSEGV)", 1, r"the NVIDIA driver crashed when it was asked (SIGSEGV)"),
        ("_exit(3)", 1, "the driver could not be asked (exit code 3)"),
        ('puts("[]")', 1, "the driver could not be asked (exit code 0)"),
    ],
)
def test_a_driver_that_fails_is_a_reason_and_no_device(on_init: str, devices: int, reason: str, tmp_path: Path) -> None:
    probe = probe_devices(environ=install(tmp_path, on_init, devices))
    assert (probe.devices, probe.reason) == ((), reason)


def test_a_driver_that_hangs_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    probe = probe_devices(timeout_s=0.5, environ=install(tmp_path, "sleep(600)"))
    assert probe == DeviceProbe(reason="the NVIDIA driver did not answer within 0.5 seconds")


def test_a_file_that_is_no_driver_is_none(tmp_path: Path) -> None:
    (tmp_path / "libcuda.so.1").write_bytes(b"not a library")
    probe = probe_devices(environ={**os.environ, "LD_LIBRARY_PATH": str(tmp_path)})
    assert probe.devices == ()
    assert "no NVIDIA driver" in str(probe.reason)


def test_device_memory_takes_the_first_library_that_works_and_says_why_none_does() -> None:
    def absent(_device: Device) -> object:
        raise ModuleNotFoundError("No module named 'cuda'")

    def refused(_device: Device) -> object:
        raise DeviceFailed("device: expected cudaSetDevice to succeed, found cudaErrorInsufficientDriver.")

    probe, works = DeviceProbe((L4,)), object()
    libraries = [("cuda-python", absent), ("pycuda", lambda device: works)]
    assert open_device_memory(probe, 0, libraries) is works  # type: ignore[arg-type]
    with pytest.raises(ProviderMismatch) as failure:
        open_device_memory(probe, 0, [("cuda-python", absent), ("pycuda", refused)])  # type: ignore[list-item]
    assert "cuda-python is not installed and pycuda does not work here" in str(failure.value)
    assert "cudaErrorInsufficientDriver" in str(failure.value)
    assert "Install Onsight's extra 'gpu'" in str(failure.value)


def test_cuda_python_without_a_driver_refuses_in_words() -> None:
    pytest.importorskip("cuda.bindings", reason="needs cuda-python (the extra 'gpu'); no GPU")
    if Path("/dev/nvidia0").exists():
        pytest.skip("this machine has an NVIDIA driver")
    with pytest.raises(ProviderMismatch, match=r"cuda-python does not work here .*found cudaError"):
        open_device_memory(DeviceProbe((L4,)), 0)
