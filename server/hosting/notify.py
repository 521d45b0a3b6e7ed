"""Tell systemd how the service stands: the protocol of sd_notify(3), for `Type=notify` units.

Messages are datagrams to the socket that NOTIFY_SOCKET names. Without it nothing is sent, and a socket that does not
listen ends nothing.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import MutableMapping
from typing import Self

log = logging.getLogger("onsight.server")


class ServiceManager:
    """What started this process, if it wants to be told."""

    def __init__(self, address: str = "") -> None:
        """address: a path, or @name in Linux' abstract namespace; empty for nobody."""
        self._address = "\0" + address[1:] if address.startswith("@") else address

    @classmethod
    def taken_from(cls, environment: MutableMapping[str, str]) -> Self:
        """Take the address out of the environment: Gunicorn would say READY as soon as its parent has booted."""
        return cls(environment.pop("NOTIFY_SOCKET", ""))

    def tell(self, *assignments: str) -> None:
        """Send assignments such as "READY=1"."""
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
                channel.sendto("\n".join(assignments).encode(), self._address)
        except OSError:
            log.warning("systemd could not be told", extra={"message_lines": list(assignments)}, exc_info=True)
