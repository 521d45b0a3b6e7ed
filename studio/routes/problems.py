"""Every stable error code of the studio, with which status it comes, and what it means; and the statuses of its errors.

A test compares the codes with the code that raises them.
"""

from __future__ import annotations

from http import HTTPStatus

from licenses.errors import EXIT_CODES
from server.openapi.problems import IMAGE, Meaning
from server.openapi.problems import PROBLEMS as SERVER_PROBLEMS
from server.problems import StatusTable
from studio.errors import Busy, Conflict, Forbidden, Invalid, NotFound, TooMany, Unauthorised, UploadBroken

STATUS_OF: StatusTable = (
    (NotFound, HTTPStatus.NOT_FOUND),
    (Conflict, HTTPStatus.CONFLICT),
    (Invalid, HTTPStatus.BAD_REQUEST),
    (Unauthorised, HTTPStatus.UNAUTHORIZED),
    (Forbidden, HTTPStatus.FORBIDDEN),
    (TooMany, HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
    (Busy, HTTPStatus.SERVICE_UNAVAILABLE),
    (UploadBroken, HTTPStatus.UNPROCESSABLE_ENTITY),
)

_COMMON = (
    "BAD_REQUEST", "HTTP_INVALID", "BODY_BROKEN", "FORM_FILES", "JSON_INVALID", "PARAMETER_INVALID", "NOT_FOUND",
    "METHOD_NOT_ALLOWED", "UNSUPPORTED_MEDIA_TYPE", "RANGE_INVALID", "MODELS_LOADING", "ENGINE", "INTERNAL", *IMAGE,
)  # fmt: skip
# 403 of what a licence does not allow, 422 of a licence file that does not hold.
_LICENCES = {code: Meaning((403, 422), SERVER_PROBLEMS[code].text) for code in EXIT_CODES}
_SHARED = {code: SERVER_PROBLEMS[code] for code in _COMMON} | _LICENCES
PROBLEMS: dict[str, Meaning] = _SHARED | {
    "ADDRESS_INVALID": Meaning((400,), "The address holds characters, plain or encoded, that none here has."),
    "VALUE_INVALID": Meaning((400,), "A value cannot be; `detail` names it."),
    "CURSOR_INVALID": Meaning((400,), "`after` is not the `next` of a page of this list."),
    "DATASET_EMPTY": Meaning((400,), "No image has one of the labels that are to be trained."),
    "PASSWORD_WEAK": Meaning((400,), "The password is too short, or one character all over."),
    "SIGN_IN": Meaning((401,), "There is neither a session nor a token in the request."),
    "SESSION_ENDED": Meaning((401,), "The session is not, or no longer, one of this studio's."),
    "TOKEN_INVALID": Meaning((401,), "The token is not, or no longer, one of this studio's."),
    "PASSWORD_WRONG": Meaning((401,), "E-mail address and password do not go together."),
    "FORBIDDEN": Meaning((403,), "Not allowed, whatever is sent."),
    "CSRF_INVALID": Meaning((403,), "A session's change came without the session's `csrf_token` in X-CSRF-Token."),
    "SESSION_NEEDED": Meaning((403,), "The call is for signed-in browsers, not for tokens."),
    "SCOPE_MISSING": Meaning((403,), "The token's scopes do not allow this call."),
    "PRIVILEGE_MISSING": Meaning((403,), "The user lacks the privilege of this call; `detail` names it."),
    "LINK_INVALID": Meaning((403,), "The one-time link was used already, or is too old."),
    "PROJECT_NOT_FOUND": Meaning((404,), "There is no such project, or not for this user."),
    "JOB_NOT_FOUND": Meaning((404,), "The project has no such job."),
    "MODEL_NOT_FOUND": Meaning((404,), "There is no such model, or not for this user."),
    "NOT_KNOWN": Meaning((404,), "It has not been read yet what the image, or any image of the label, looks like."),
    "DATASET_NOT_FOUND": Meaning((404,), "The project has no such version of its images and labels."),
    "LABEL_NOT_FOUND": Meaning((404,), "The model does not know the label."),
    "SPLIT_NOT_FOUND": Meaning((404,), "The model was measured without images of this split."),
    "NO_CURVE": Meaning((404,), "No image of the split carries the label."),
    "CONFLICT": Meaning((409,), "What is there already stands against it; `detail` says what."),
    "EMAIL_TAKEN": Meaning((409,), "There is a user of this e-mail address."),
    "LAST_ADMIN": Meaning((409,), "No admin would be left."),
    "LAST_OWNER": Meaning((409,), "No owner of the project would be left."),
    "LABEL_TAKEN": Meaning((409,), "The project has a label of this name."),
    "NAME_TAKEN": Meaning((409,), "The project has another image of this name."),
    "JOB_ENDED": Meaning((409,), "The job has ended already."),
    "JOB_NOT_ENDED": Meaning((409,), "The job has neither failed nor been cancelled, so it cannot go on."),
    "JOB_RUNNING": Meaning((409,), "The job is running; cancel it first."),
    "NOT_TRAINED": Meaning((409,), "The job is no training that has ended with a model."),
    "MODEL_NOT_LOADED": Meaning((409,), "The model could not be made ready to predict; `detail` says why."),
    "NOT_EXPORTED": Meaning((409,), "The export has no bundle, or not yet, or a damaged one."),
    "NOT_MEASURED": Meaning((409,), "The model has no statistics yet, or its files are damaged."),
    "OTHER_TASK": Meaning((409,), "One model gives one label an image, the other any number."),
    "NOTHING_IN_COMMON": Meaning((409,), "The two models know no image in common."),
    "NOTHING_TO_UNDO": Meaning((409,), "There is no change of this user's that is not undone."),
    "BODY_TOO_LARGE": Meaning((413,), "The request has more bytes than are taken here."),
    "IMAGE_TOO_MANY_BYTES": Meaning((413,), "An image has more bytes than ONSIGHT_STUDIO_MAX_IMAGE_BYTES."),
    "TOO_MANY": Meaning((413,), "More of something than this install allows; `detail` names it."),
    "UPLOAD_BROKEN": Meaning((422,), "The archive or the label file cannot be read at all; `detail` says why."),
    "TRY_LATER": Meaning((429,), "Too many wrong passwords for this address; try again after Retry-After."),
    "STORAGE_FULL": Meaning((507,), "The disk is full; nothing of this was kept."),
    "BUSY": Meaning((503,), "The database, or whatever checks passwords, is busy; try again after Retry-After."),
}

TRANSPORT = ("ADDRESS_INVALID", "HTTP_INVALID", "BAD_REQUEST", "INTERNAL", "BUSY")
CLOSED = (
    "SIGN_IN", "SESSION_ENDED", "TOKEN_INVALID", "CSRF_INVALID", "SESSION_NEEDED", "SCOPE_MISSING",
    "PRIVILEGE_MISSING", "PROJECT_NOT_FOUND",
)  # fmt: skip
BODY = ("BODY_BROKEN", "BODY_TOO_LARGE", "UNSUPPORTED_MEDIA_TYPE", "JSON_INVALID")
PAGE = ("PARAMETER_INVALID", "CURSOR_INVALID")
