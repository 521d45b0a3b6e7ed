"""The messages between a web worker and an engine process: short, binary, whole or not at all.

They travel over a pair of connected SOCK_SEQPACKET sockets without a name, so the kernel keeps their order and their
borders, tells each side when the other one ends (also by SIGKILL), and makes what was written to shared memory before
a message visible to who reads it. A message hands over slots of an arena: SUBMIT to the engine, DONE back to the
worker; nobody touches a slot that is not his. Images and scores are never in a message.
"""

from __future__ import annotations

import json
import os
import socket
import struct
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final

MAX_MESSAGE: Final = 4096
MAX_FDS: Final = 2
MAX_REQUEST_SLOTS: Final = 1024
_ANCILLARY: Final = socket.CMSG_SPACE(MAX_FDS * 4)


class Kind(IntEnum):
    """First byte of a message."""

    KNOCK = 1  # worker, at the door: here is my socket
    WELCOME = 2  # engine: it has it
    LOAD = 3  # worker, with the arena and the package: load this model
    PROGRESS = 4  # engine: how far loading is
    LOADED = 5  # engine, with the package that everybody shares: it is ready, or why not
    UNLOAD = 6  # worker: I need it no longer
    SUBMIT = 7  # worker: infer the images in these slots
    DONE = 8  # engine: these requests are answered


class Status(IntEnum):
    """How a request ended. LOST is never sent: the worker says so to itself when the engine has ended."""

    SCORED = 0
    EXPIRED = 1
    FAILED = 2
    LOST = 3


class WireError(Exception):
    """The other side sent what it never should; its connection ends."""


@dataclass(frozen=True, slots=True)
class Load:
    """handle: the worker's number for it.  key: SHA-256 of the package.  slots: in the arena."""

    handle: int
    key: bytes
    slots: int


@dataclass(frozen=True, slots=True)
class Submit:
    """deadline: seconds of `time.monotonic`, infinite for none.  alone: with no other request in one batch."""

    handle: int
    request_id: int
    deadline: float
    alone: bool
    slots: tuple[int, ...]


_LOAD = struct.Struct("<BxHI32s")
_UNLOAD = struct.Struct("<BxxxI")
_TEXT = struct.Struct("<BxxxI")
_SUBMIT = struct.Struct("<BBHIQd")
_DONE = struct.Struct("<B")
_ENTRY = struct.Struct("<QB")
MAX_ENTRIES: Final = (MAX_MESSAGE - _DONE.size) // _ENTRY.size

KNOCK: Final = bytes([Kind.KNOCK])
WELCOME: Final = bytes([Kind.WELCOME])


def pack_load(load: Load) -> bytes:
    return _LOAD.pack(Kind.LOAD, load.slots, load.handle, load.key)


def unpack_load(message: bytes) -> Load:
    _, slots, handle, key = _unpack(_LOAD, message)
    return Load(handle, key, slots)


def pack_unload(handle: int) -> bytes:
    return _UNLOAD.pack(Kind.UNLOAD, handle)


def unpack_unload(message: bytes) -> int:
    handle: int = _unpack(_UNLOAD, message)[1]
    return handle


def pack_text(kind: Kind, handle: int, document: dict[str, Any]) -> bytes:
    """PROGRESS and LOADED. Texts in it are cut where they are too long."""
    short = {name: value[:500] if isinstance(value, str) else value for name, value in document.items()}
    return _TEXT.pack(kind, handle) + json.dumps(short, ensure_ascii=True).encode()[: MAX_MESSAGE - _TEXT.size]


def unpack_text(message: bytes) -> tuple[int, dict[str, Any]]:
    """handle, document."""
    _, handle = _unpack(_TEXT, message[: _TEXT.size])
    try:
        document = json.loads(message[_TEXT.size :])
    except ValueError as error:
        raise WireError(f"expected JSON, found {error}") from error
    if not isinstance(document, dict):
        raise WireError("expected an object")
    return handle, document


def pack_submit(submit: Submit) -> bytes:
    count = len(submit.slots)
    head = _SUBMIT.pack(Kind.SUBMIT, submit.alone, count, submit.handle, submit.request_id, submit.deadline)
    return head + struct.pack(f"<{count}H", *submit.slots)


def unpack_submit(message: bytes) -> Submit:
    _, alone, count, handle, request_id, deadline = _unpack(_SUBMIT, message[: _SUBMIT.size])
    if len(message) != _SUBMIT.size + 2 * count or not 1 <= count <= MAX_REQUEST_SLOTS:
        raise WireError(f"expected 1 to {MAX_REQUEST_SLOTS} slots of 2 bytes, found {len(message)} bytes for {count}")
    slots = struct.unpack_from(f"<{count}H", message, _SUBMIT.size)
    return Submit(handle, request_id, deadline, bool(alone), slots)


def pack_done(entries: Sequence[tuple[int, Status]]) -> bytes:
    """entries: request id and status, at most MAX_ENTRIES."""
    return _DONE.pack(Kind.DONE) + b"".join(_ENTRY.pack(request_id, status) for request_id, status in entries)


def unpack_done(message: bytes) -> list[tuple[int, int]]:
    """Request ids and statuses."""
    try:
        return list(_ENTRY.iter_unpack(memoryview(message)[_DONE.size :]))
    except struct.error as error:
        raise WireError(f"expected entries of {_ENTRY.size} bytes, found {len(message)} bytes") from error


def _unpack(form: struct.Struct, message: bytes) -> tuple[Any, ...]:
    try:
        return form.unpack(message)
    except struct.error as error:
        raise WireError(f"expected {form.size} bytes, found {len(message)}") from error


def receive(sock: socket.socket) -> tuple[bytes, list[int]]:
    """One message and its descriptors; an empty one at the end. Never waits on a socket that is non-blocking.

    Raises BlockingIOError where there is none, WireError for one that is too long.
    """
    message, ancillary, flags, _ = sock.recvmsg(MAX_MESSAGE, _ANCILLARY, socket.MSG_CMSG_CLOEXEC)
    fds: list[int] = []
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.extend(int.from_bytes(data[at : at + 4], sys.byteorder) for at in range(0, len(data) // 4 * 4, 4))
    if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
        for fd in fds:
            os.close(fd)
        raise WireError(f"a message is longer than {MAX_MESSAGE} bytes")
    return message, fds
