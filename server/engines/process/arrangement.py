"""The engine processes of one server: made in the parent before it forks, used by every web worker after.

Parent: `start`, `tend` again and again, `stop` after the web workers have ended.  Web worker: `factory`, `status`.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace

from bundle.manifest import Manifest
from server.engines.process.link import Link
from server.engines.process.options import HostOptions
from server.engines.process.pulse import EngineStatus, Pulse
from server.engines.process.remote_engine import RemoteEngine
from server.engines.process.supervisor import EngineSupervisor
from server.engines.protocol import Engine, EngineFactory
from server.engines.providers import CPU

STOP_S = 8.0
# An engine that is built on this host (TensorRT) can take long; until then the model shows as loading.
LOAD_TIMEOUT_S = 3600.0
ACCELERATOR_LANES = 2
MAX_SLOTS = 4096


class EngineProcesses:
    """options: a template; device, door and pulse are filled in.  devices: one process each.

    slots: images that each web worker may have at each process at once, 1 to MAX_SLOTS.  timeout_s: see the supervisor.
    """

    def __init__(
        self, options: HostOptions, devices: Sequence[int], slots: int, timeout_s: float, environ: Mapping[str, str]
    ) -> None:
        self._slots = slots
        self._owner = os.getpid()
        self._lock = threading.Lock()
        self._links: list[Link] = []
        self.loading: dict[str, str] = {}  # in this web worker: name and version of a model -> how far loading it is
        self._doors: list[tuple[socket.socket, socket.socket]] = []
        self._pulses: list[Pulse] = []
        self._devices = tuple(devices)
        self._supervisors: list[EngineSupervisor] = []
        for device in self._devices:
            outside, inside = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            for door in (outside, inside):
                door.setblocking(False)
            pulse = Pulse.create()
            self._doors.append((outside, inside))
            self._pulses.append(pulse)
            here = replace(options, device=device, door=inside.fileno(), pulse=pulse.fd)
            environment = device_environment(environ, device, options.providers)
            self._supervisors.append(EngineSupervisor(here, pulse, timeout_s, environment))

    # ---- parent

    def start(self) -> None:
        for supervisor in self._supervisors:
            supervisor.start()

    def tend(self) -> None:
        """Never waits."""
        if os.getpid() == self._owner:
            for supervisor in self._supervisors:
                supervisor.tend()

    def stop(self) -> None:
        """End them, after the web workers; in a web worker, let go of them."""
        for link in self._links:
            link.close()
        if os.getpid() == self._owner:
            for supervisor in self._supervisors:
                supervisor.stop(STOP_S)
        for doors in self._doors:
            for door in doors:
                door.close()

    # ---- web worker

    def factory(self) -> EngineFactory:
        """Builds RemoteEngines. Call it after the fork: it starts a thread a device."""
        with self._lock:
            if not self._links:
                self._links = [
                    Link(device, outside, pulse)
                    for device, (outside, _), pulse in zip(self._devices, self._doors, self._pulses, strict=True)
                ]
        links = self._links

        def build(manifest: Manifest, graph: bytes, /, *, private: bool = False) -> Engine:
            name = f"{manifest.name} {manifest.version}"
            try:
                return RemoteEngine(
                    manifest, graph, links, self._slots, LOAD_TIMEOUT_S,
                    lambda text: self.loading.update({name: text}), private=private,
                )  # fmt: skip
            finally:
                self.loading.pop(name, None)

        return build

    # ---- anybody

    @property
    def status(self) -> tuple[EngineStatus, ...]:
        return tuple(pulse.status(device) for device, pulse in zip(self._devices, self._pulses, strict=True))


def device_environment(environ: Mapping[str, str], device: int, providers: Sequence[str]) -> dict[str, str]:
    """The environment in which this device is the only one, and so number 0 for every library alike."""
    if set(providers) == {CPU}:
        return dict(environ)
    chosen = str(device)
    if "CUDA_VISIBLE_DEVICES" in environ:  # what it does not name is not ours
        visible = [name.strip() for name in environ["CUDA_VISIBLE_DEVICES"].split(",") if name.strip()]
        chosen = visible[device] if device < len(visible) else ""
    return {**environ, "CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": chosen}


def default_lanes(providers: Sequence[str]) -> int:
    """A second lane keeps a device busy while the first copies and answers; on a CPU it would only take its core."""
    return 1 if providers[0] == CPU else ACCELERATOR_LANES
