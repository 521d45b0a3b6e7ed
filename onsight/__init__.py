"""What a person touches: the command line and the Python client.

`from onsight import Client, AsyncClient`: what onsight.client offers is found here too, and imported when it is asked
for, so that the command line does not wait for it.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onsight.client import *  # noqa: F403


def __getattr__(name: str) -> object:
    if name[:1].isupper():  # a class, so not one of our modules, which Python asks for here too
        from importlib import import_module

        client = import_module("onsight.client")
        if name in client.__all__:
            value: object = getattr(client, name)
            return value
    raise AttributeError(f"module 'onsight' has no attribute {name!r}")
