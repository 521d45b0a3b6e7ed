"""What can go wrong in the studio, grouped by who can mend it.

OnsightError (bundle/errors.py)
└── StudioError
    ├── StudioSetupError  the operator must act: a setting that cannot be, a database that does not answer
    ├── NotFound          the caller asked for what is not there, or not there for them
    ├── Conflict          what is there already stands against it: a name that is taken, an undo of what has moved on
    ├── Invalid           the caller sent what cannot be: a label without a name, a cursor of another list
    ├── Unauthorised      nobody knows the caller: no session, no token, a wrong password
    ├── Forbidden         the caller may not, whatever they send
    ├── TooMany           more than a limit of this install allows
    ├── Busy              too many ask for the same at once; later it will do
    └── UploadBroken      an archive that cannot be read at all

`studio/routes/problems.py` says which status each becomes. `code` is stable, for machines.
"""

from bundle.errors import OnsightError


class StudioError(OnsightError):
    code = "STUDIO"

    def __init__(self, message: str, code: str | None = None) -> None:
        """code: where the class's own says too little to a program."""
        super().__init__(message)
        if code is not None:
            self.code = code


class StudioSetupError(StudioError):
    code = "STUDIO_SETUP"


class NotFound(StudioError):
    code = "NOT_FOUND"


class Conflict(StudioError):
    code = "CONFLICT"


class Invalid(StudioError):
    code = "VALUE_INVALID"


class Unauthorised(StudioError):
    code = "SIGN_IN"


class Forbidden(StudioError):
    code = "FORBIDDEN"


class TooMany(StudioError):
    code = "TOO_MANY"


class Busy(StudioError):
    code = "BUSY"


class UploadBroken(StudioError):
    code = "UPLOAD_BROKEN"
