"""TensorRT itself: the module, its version, its log. The only place that imports it; everything else is handed it."""

from __future__ import annotations

import importlib
import logging
from collections import deque
from collections.abc import Callable
from typing import Any

from server.errors import ProviderMismatch

log = logging.getLogger("onsight.server")

OLDEST_MAJOR = 11
_REMEMBERED_ERRORS = 5


def load_tensorrt(name: str = "tensorrt") -> Any:
    """The module, of version 11 or newer. Raises ProviderMismatch."""
    try:
        trt = importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise ProviderMismatch(
            f"TensorRT: expected its Python package, found that {error.name} is not installed. Install Onsight's extra"
            " 'tensorrt', or set ONSIGHT_PROVIDERS to cuda or cpu."
        ) from error
    except (ImportError, OSError, RuntimeError) as error:
        raise ProviderMismatch(
            f"TensorRT: expected its libraries to load, found {error}. Install Onsight's extra 'tensorrt' again, or set"
            " ONSIGHT_PROVIDERS to cuda or cpu."
        ) from error
    version = str(trt.__version__)
    if not version.split(".")[0].isdigit() or int(version.split(".")[0]) < OLDEST_MAJOR:
        raise ProviderMismatch(
            f"TensorRT: expected version {OLDEST_MAJOR} or newer, found {version}. Install the newer one, or set"
            " ONSIGHT_PROVIDERS to cuda or cpu."
        )
    return trt


def make(trt: Any, trt_log: TensorRTLog, kind: Callable[[Any], Any]) -> Any:
    """A `Builder` or a `Runtime`. Raises ProviderMismatch where TensorRT makes none: no driver, or one too old."""
    try:
        made = kind(trt_log.logger)
    except (TypeError, RuntimeError) as error:  # its bindings refuse a null pointer with a TypeError
        raise ProviderMismatch(_not_started(trt, trt_log)) from error
    if made is None:
        raise ProviderMismatch(_not_started(trt, trt_log))
    return made


def _not_started(trt: Any, trt_log: TensorRTLog) -> str:
    return (
        f"TensorRT {trt.__version__}: expected it to start, found that it does not ({trt_log.last_errors()}). Install a"
        " driver that is new enough for it, or set ONSIGHT_PROVIDERS to cuda or cpu."
    )


class TensorRTLog:
    """TensorRT's messages in the server's log: its errors and warnings as warnings, the rest as debug.

    logger: what TensorRT takes; it must live as long as anything that was made with it.
    """

    def __init__(self, trt: Any) -> None:
        errors: deque[str] = deque(maxlen=_REMEMBERED_ERRORS)
        severity = trt.ILogger.Severity
        failing = (severity.INTERNAL_ERROR, severity.ERROR)

        class Logger(trt.ILogger):  # type: ignore[misc]
            def __init__(self) -> None:
                trt.ILogger.__init__(self)

            def log(self, level: Any, message: str) -> None:
                if level in failing:
                    errors.append(message)
                    log.warning("TensorRT error", extra={"reason": message})
                elif level == severity.WARNING:
                    log.warning("TensorRT warning", extra={"reason": message})
                elif level == severity.INFO:
                    log.debug("TensorRT", extra={"reason": message})

        self.logger = Logger()
        self._errors = errors

    def last_errors(self) -> str:
        """What it complained about since the last time this was asked, in one line."""
        text = "; ".join(self._errors)
        self._errors.clear()
        return text or "no reason given"
