"""What can go wrong with licences, grouped by who can mend it.

OnsightError
├── LicenseError     one licence, or the lack of one, refuses an action; `code` says why (docs/licensing.md lists them)
├── IssuerError      whoever issues licences must act: a key, the register, or what was asked for
└── IdentityError    the operator must act: the install's identity cannot be read or written
"""

from __future__ import annotations

from typing import Final, Literal

from bundle.errors import OnsightError

Code = Literal[
    "LICENSE_MISSING", "LICENSE_MALFORMED", "LICENSE_BAD_SIGNATURE", "LICENSE_UNKNOWN_KEY", "LICENSE_NOT_YET_VALID",
    "LICENSE_EXPIRED", "LICENSE_HOST_MISMATCH", "LICENSE_NOT_ENTITLED", "LICENSE_LIMIT", "LICENSE_REVOKED",
]  # fmt: skip

EXIT_CODES: Final[dict[str, int]] = {
    "LICENSE_EXPIRED": 20,
    "LICENSE_MALFORMED": 21, "LICENSE_BAD_SIGNATURE": 21, "LICENSE_UNKNOWN_KEY": 21,
    "LICENSE_HOST_MISMATCH": 22,
    "LICENSE_MISSING": 23, "LICENSE_NOT_ENTITLED": 23, "LICENSE_LIMIT": 23,
    "LICENSE_NOT_YET_VALID": 24,
    "LICENSE_REVOKED": 25,
}  # fmt: skip


class LicenseError(OnsightError):
    """An action is refused, or a licence document is; `code` is one of `Code`."""

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code = code

    @property
    def exit_code(self) -> int:
        """What `onsight license` ends with."""
        return EXIT_CODES[self.code]


class IssuerError(OnsightError):
    code = "LICENSE_ISSUER"


class IdentityError(OnsightError):
    code = "INSTALL_IDENTITY"
