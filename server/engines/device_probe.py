"""Which NVIDIA devices the driver offers, asked in a process of its own: a broken driver may crash or hang who asks.

Parent: `probe_devices` starts this very file, waits, and believes nothing but a complete answer. Child: loads
`libcuda.so.1`, asks each device, prints one line of JSON. Needs no package beyond Python's own; allocates no memory of
a device and makes no context there. Never raises: no device is an answer, with its reason.
"""

from __future__ import annotations

import ctypes
import json
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

PROBE_TIMEOUT_S = 60.0  # the first call after a boot may have to wake the driver, seconds a device
MAX_ANSWER_BYTES = 1024 * 1024
DRIVER_LIBRARY = "libcuda.so.1"
MANAGEMENT_LIBRARY = "libnvidia-ml.so.1"
MODULE_VERSION_FILE = Path("/proc/driver/nvidia/version")

_ATTRIBUTE_MULTIPROCESSORS, _ATTRIBUTE_MAJOR, _ATTRIBUTE_MINOR = 16, 75, 76  # CUdevice_attribute
_ERROR_NO_DEVICE = 100
_NAME_BYTES = 256


@dataclass(frozen=True, slots=True)
class Device:
    """One device, as the driver names it. index: within CUDA_VISIBLE_DEVICES.  uuid: `GPU-...`, of this very board."""

    index: int
    name: str
    uuid: str
    compute_capability: tuple[int, int]
    multiprocessors: int
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class DeviceProbe:
    """What the driver offers. devices: empty where there is none, and then `reason` says why.

    driver_version: of the kernel's module, like `570.124.06`, "" where it says none.  cuda_version: the newest CUDA
    that the driver speaks, like `13.0`.
    """

    devices: tuple[Device, ...] = ()
    driver_version: str = ""
    cuda_version: str = ""
    reason: str | None = None

    def device(self, index: int) -> Device | None:
        return next((device for device in self.devices if device.index == index), None)


def probe_devices(timeout_s: float = PROBE_TIMEOUT_S, environ: Mapping[str, str] | None = None) -> DeviceProbe:
    """Ask the driver, in a child that may crash. environ: of the child; None for this process's own."""
    try:
        child = subprocess.run(  # noqa: S603 - this interpreter and this file
            [sys.executable, "-I", str(Path(__file__).resolve())],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout_s,
            env=None if environ is None else dict(environ),
            check=False,
        )
    except subprocess.TimeoutExpired:
        return DeviceProbe(reason=f"the NVIDIA driver did not answer within {timeout_s:g} seconds")
    except OSError as error:
        return DeviceProbe(reason=f"the driver could not be asked: {error.strerror}")
    if child.returncode < 0:
        return DeviceProbe(reason=f"the NVIDIA driver crashed when it was asked ({_signal_name(-child.returncode)})")
    try:
        return _parse(child.stdout)
    except (ValueError, KeyError, TypeError):
        return DeviceProbe(reason=f"the driver could not be asked (exit code {child.returncode})")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _parse(answer: bytes) -> DeviceProbe:
    if len(answer) > MAX_ANSWER_BYTES:
        raise ValueError("an answer that is too long")
    document: dict[str, Any] = json.loads(answer)
    devices = []
    for entry in document.pop("devices"):
        major, minor = entry.pop("compute_capability")
        devices.append(Device(compute_capability=(major, minor), **entry))
    return DeviceProbe(tuple(devices), **document)


# ---- in the child


class _DriverError(Exception):
    pass


def ask_driver() -> DeviceProbe:
    """In this process: only for one that may crash."""
    try:
        driver = ctypes.CDLL(DRIVER_LIBRARY)
    except OSError:
        return DeviceProbe(reason=f"no NVIDIA driver: {DRIVER_LIBRARY} is not on this machine")
    cuda_version = ""
    try:
        _call(driver, "cuInit", ctypes.c_uint(0))
        version = _int_of(driver, "cuDriverGetVersion")
        cuda_version = f"{version // 1000}.{version % 1000 // 10}"
        count = _int_of(driver, "cuDeviceGetCount")
        devices = tuple(_describe(driver, index) for index in range(count))
    except _DriverError as error:
        return DeviceProbe((), _module_version(), cuda_version, str(error))
    return DeviceProbe(devices, _module_version(), cuda_version, None if devices else "the NVIDIA driver has no device")


def _describe(driver: ctypes.CDLL, index: int) -> Device:
    number = ctypes.c_int()
    _call(driver, "cuDeviceGet", ctypes.byref(number), ctypes.c_int(index))
    name = ctypes.create_string_buffer(_NAME_BYTES)
    _call(driver, "cuDeviceGetName", name, ctypes.c_int(_NAME_BYTES), number)
    uuid = (ctypes.c_ubyte * 16)()
    _call(driver, "cuDeviceGetUuid_v2" if hasattr(driver, "cuDeviceGetUuid_v2") else "cuDeviceGetUuid", uuid, number)
    memory = ctypes.c_size_t()
    _call(driver, "cuDeviceTotalMem_v2", ctypes.byref(memory), number)
    attributes = [
        _int_of(driver, "cuDeviceGetAttribute", ctypes.c_int(attribute), number)
        for attribute in (_ATTRIBUTE_MAJOR, _ATTRIBUTE_MINOR, _ATTRIBUTE_MULTIPROCESSORS)
    ]
    text = bytes(uuid).hex()
    dashed = "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))
    return Device(
        index, name.value.decode(errors="replace"), f"GPU-{dashed}", (attributes[0], attributes[1]), attributes[2],
        memory.value,
    )  # fmt: skip


def _int_of(driver: ctypes.CDLL, function: str, *arguments: Any) -> int:
    value = ctypes.c_int()
    _call(driver, function, ctypes.byref(value), *arguments)
    return value.value


def _call(driver: ctypes.CDLL, function: str, *arguments: Any) -> None:
    try:
        status = int(getattr(driver, function)(*arguments))
    except AttributeError as error:
        raise _DriverError(f"the NVIDIA driver has no {function}: it is too old") from error
    if status == _ERROR_NO_DEVICE:
        raise _DriverError("the NVIDIA driver has no device that this process may use")
    if status:
        name = ctypes.c_char_p()
        known = driver.cuGetErrorName(ctypes.c_int(status), ctypes.byref(name)) == 0 and name.value
        raise _DriverError(
            f"the NVIDIA driver fails at {function}: {name.value.decode() if known and name.value else status}"
        )


def _module_version() -> str:
    """The version of the driver itself; CUDA's own calls tell only which CUDA it speaks."""
    try:
        management = ctypes.CDLL(MANAGEMENT_LIBRARY)
        version = ctypes.create_string_buffer(96)
        if management.nvmlInit_v2() == 0 and management.nvmlSystemGetDriverVersion(version, ctypes.c_uint(96)) == 0:
            return version.value.decode(errors="replace")
    except (OSError, AttributeError):
        pass
    try:
        found = re.search(r"Module\D*?(?:for \S+)?\s+(\d+(?:\.\d+)+)\s", MODULE_VERSION_FILE.read_text())
    except OSError:
        return ""
    return found.group(1) if found else ""


if __name__ == "__main__":
    print(json.dumps(asdict(ask_driver())))  # noqa: T201 - the answer to the parent
