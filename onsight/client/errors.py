"""What can go wrong between a program and a server, grouped by who can mend it.

ClientError (an OnsightError)
├── AddressError       the caller: no server, model or token can be as the one given
├── ImageUnreadable    the caller: a file that cannot be read, before anything was sent
├── ImageRefused       the sender of the image: the server cannot take this one (413, 415, 422; 400 for no bytes)
├── Refused            the caller or the operator: no token, no such model, a failure of the server (any other status)
├── Unavailable        time: the server said "later" (408, 429, 502, 503, 504), or was not ready, until time was up
├── NoAnswer           the network: not reached, the connection broke off, no answer in time
│   └── CertificateRefused   nothing was sent: the server's certificate is not one that is trusted
└── UnexpectedAnswer   the caller: what answers is no Onsight server; a redirect, which is never followed
"""

from __future__ import annotations

from bundle.errors import OnsightError


class ClientError(OnsightError):
    """status: of the answer, None where there was none.  code: stable, for programs; the server's where it sent one.

    request_id: under which the server's log has the story, "" where unknown.  retry_after_s: seconds after which the
    server wants to be asked again, None where it did not say.
    """

    code = "CLIENT"

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        code: str = "",
        request_id: str = "",
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code or type(self).code
        self.request_id = request_id
        self.retry_after_s = retry_after_s


class AddressError(ClientError):
    code = "ADDRESS"


class ImageUnreadable(ClientError):
    code = "IMAGE_UNREADABLE"


class ImageRefused(ClientError):
    code = "IMAGE_REFUSED"


class Refused(ClientError):
    code = "REFUSED"


class Unavailable(ClientError):
    code = "UNAVAILABLE"


class NoAnswer(ClientError):
    code = "NO_ANSWER"


class CertificateRefused(NoAnswer):
    code = "CERTIFICATE"


class UnexpectedAnswer(ClientError):
    code = "UNEXPECTED_ANSWER"
