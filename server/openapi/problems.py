"""Every stable error code: with which status it comes, and what it means. A test compares this with the code.

Nothing is decided here; `server/problems.py` and whoever raises a Problem decide.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from licenses.errors import EXIT_CODES


@dataclass(frozen=True, slots=True)
class Meaning:
    statuses: tuple[int, ...]
    text: str


PROBLEMS: dict[str, Meaning] = {
    "ADDRESS_INVALID": Meaning((400,), "The address holds more than letters, digits, '.', '_', '-', '+' and '/'."),
    "BAD_REQUEST": Meaning((400,), "The request could not be understood."),
    "HTTP_INVALID": Meaning((400, 414, 431, 501), "It is not HTTP, or its address or headers are too long."),
    "TLS_EXPECTED": Meaning((400,), "The request is plain HTTP; this port speaks HTTPS alone."),
    "BODY_BROKEN": Meaning((400,), "The body broke off or is badly framed. Send it again."),
    "IMAGE_EMPTY": Meaning((400,), "There is no image in the body."),
    "FORM_FILES": Meaning((400,), "The form holds no file, or more than one where one is expected."),
    "JSON_INVALID": Meaning((400,), "The body is not the JSON object that is expected here."),
    "PARAMETER_INVALID": Meaning((400,), "A parameter has a value that it cannot have; `detail` names it."),
    "V2_REQUEST_INVALID": Meaning((400,), "Tensors, shapes or sizes do not add up; `detail` says which."),
    "TOKEN_MISSING": Meaning((401,), "There is no token in the request."),
    "TOKEN_INVALID": Meaning((401,), "The token is not, or no longer, one of this server's."),
    "SCOPE_MISSING": Meaning((403,), "The token is valid, but lacks the scope of this call."),
    "URL_FETCH_OFF": Meaning((403,), "The body names a URL; this server never fetches one. Send the image."),
    "LICENSE_MISSING": Meaning((403,), "It demands a licence of an issuer, and none is installed."),
    "LICENSE_MALFORMED": Meaning((403,), "The licence that covers it is no licence file, or a damaged one."),
    "LICENSE_BAD_SIGNATURE": Meaning((403,), "The licence that covers it was changed, or another signed it."),
    "LICENSE_UNKNOWN_KEY": Meaning((403,), "The issuer's key ring does not hold the licence's key."),
    "LICENSE_NOT_YET_VALID": Meaning((403,), "The licence that covers it begins later."),
    "LICENSE_EXPIRED": Meaning(
        (403,),
        "Its licence has expired; in the grace after that, only the bundle is new.",
    ),
    "LICENSE_HOST_MISMATCH": Meaning((403,), "The licence that covers it is for another install or host."),
    "LICENSE_NOT_ENTITLED": Meaning((403,), "The licence does not cover this model, or not serving."),
    "LICENSE_LIMIT": Meaning((403,), "The licence allows fewer models, servers or devices at once."),
    "LICENSE_REVOKED": Meaning((403,), "The issuer has revoked the licence that covers it."),
    "NOT_FOUND": Meaning((404,), "There is nothing at this address."),
    "MODEL_NOT_FOUND": Meaning((404,), "No model, or no version, of this name is served here."),
    "METHOD_NOT_ALLOWED": Meaning((405,), "The address does not take this method; see the header Allow."),
    "CLIENT_SILENT": Meaning((408,), "The rest of the request did not come in time."),
    "MODEL_NOT_LOADED": Meaning((409,), "The bundle is there and does not load; `detail` says why."),
    "BODY_TOO_LARGE": Meaning((413,), "The request has more bytes than ONSIGHT_MAX_REQUEST_BYTES."),
    "IMAGE_TOO_MANY_BYTES": Meaning((413,), "An image has more bytes than ONSIGHT_MAX_IMAGE_BYTES."),
    "TOO_MANY_IMAGES": Meaning((413,), "More images than ONSIGHT_MAX_IMAGES_PER_REQUEST."),
    "UNSUPPORTED_MEDIA_TYPE": Meaning((415,), "The body's content type or encoding is not taken here."),
    "IMAGE_UNSUPPORTED": Meaning((415,), "The bytes are none of JPEG, PNG, WebP, TIFF, BMP and GIF."),
    "RANGE_INVALID": Meaning((416,), "The file is shorter than the range that was asked for."),
    "IMAGE_TOO_LARGE": Meaning((422,), "An image has more pixels than ONSIGHT_MAX_IMAGE_PIXELS."),
    "IMAGE_CORRUPT": Meaning((422,), "It is an image of a known format, but it cannot be decoded."),
    "IMAGE_INVALID": Meaning((422,), "The image cannot be used, for another reason; `detail` says why."),
    "QUEUE_FULL": Meaning((429,), "More requests wait than this server lets wait; try again after Retry-After."),
    "INTERNAL": Meaning((500,), "The server failed; its log has the story under the request's id."),
    "ENGINE": Meaning((500,), "The model failed on this image; the server's log says why."),
    "ENGINE_DEVICE": Meaning((500,), "The device failed; its engine process is started again."),
    "TOKEN_STORE": Meaning((503,), "Tokens cannot be checked at the moment; the server's log says why."),
    "MODELS_LOADING": Meaning((503,), "The models are not loaded yet; try again after Retry-After."),
    "DEADLINE_EXCEEDED": Meaning((503,), "The request waited too long for its turn; try again after Retry-After."),
    "ENGINE_RESTARTING": Meaning((503,), "The engine process is being started again; try again after Retry-After."),
    "CHANGE_UNDER_WAY": Meaning((503,), "Models are being loaded or unloaded already; try again after Retry-After."),
    "STILL_CHANGING": Meaning((504,), "Not all workers were done within a minute; they go on."),
    "CHANGE_NOT_KEPT": Meaning((507,), "The server's home folder cannot be written; nothing was changed."),
}

# What any call can bring.
TRANSPORT = (
    "ADDRESS_INVALID", "BAD_REQUEST", "HTTP_INVALID", "TLS_EXPECTED", "CLIENT_SILENT", "INTERNAL", "DEADLINE_EXCEEDED",
)  # fmt: skip
TOKEN = ("TOKEN_MISSING", "TOKEN_INVALID", "SCOPE_MISSING", "TOKEN_STORE")
BODY = ("BODY_BROKEN", "BODY_TOO_LARGE", "UNSUPPORTED_MEDIA_TYPE")
MODEL = ("MODEL_NOT_FOUND", "MODELS_LOADING", *sorted(EXIT_CODES))  # the latter: of a model that demands a licence
ANSWERING = (*MODEL, *BODY, "QUEUE_FULL", "ENGINE", "ENGINE_DEVICE", "ENGINE_RESTARTING")
# What may be wrong with one image.
IMAGE = ("IMAGE_EMPTY", "IMAGE_UNSUPPORTED", "IMAGE_TOO_LARGE", "IMAGE_CORRUPT", "IMAGE_INVALID")
UPLOAD = (*IMAGE, "IMAGE_TOO_MANY_BYTES", "FORM_FILES", "URL_FETCH_OFF")


def by_status(codes: Iterable[str], problems: Mapping[str, Meaning] = PROBLEMS) -> dict[int, tuple[str, ...]]:
    """status -> codes, both ascending."""
    found: dict[int, set[str]] = defaultdict(set)
    for code in codes:
        for status in problems[code].statuses:
            found[status].add(code)
    return {status: tuple(sorted(found[status])) for status in sorted(found)}
