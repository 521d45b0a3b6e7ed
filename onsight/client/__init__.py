"""Ask an Onsight server about images, from a Python program: `Client`, or `AsyncClient` on asyncio.

plan.py decides what is sent, when it is tried again and what an answer means; threads.py and tasks.py carry it out;
wire.py is what they share of HTTP, deadline.py how long a thread waits for it; answers.py what a caller gets, errors.py
what can go wrong. Imports neither torch nor flask nor an inference runtime. See docs/client.md.
"""

from onsight.client.answers import (
    Health,
    ImageResult,
    LabelThreshold,
    ModelDescription,
    ModelSummary,
    Prediction,
    ReadyModel,
    Score,
    Timings,
)
from onsight.client.errors import (
    AddressError,
    CertificateRefused,
    ClientError,
    ImageRefused,
    ImageUnreadable,
    NoAnswer,
    Refused,
    Unavailable,
    UnexpectedAnswer,
)
from onsight.client.tasks import AsyncClient
from onsight.client.threads import Client

__all__ = [
    "AddressError",
    "AsyncClient",
    "CertificateRefused",
    "Client",
    "ClientError",
    "Health",
    "ImageRefused",
    "ImageResult",
    "ImageUnreadable",
    "LabelThreshold",
    "ModelDescription",
    "ModelSummary",
    "NoAnswer",
    "Prediction",
    "ReadyModel",
    "Refused",
    "Score",
    "Timings",
    "Unavailable",
    "UnexpectedAnswer",
]
