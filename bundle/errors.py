"""What can go wrong with a bundle or an image, grouped by who can mend it.

OnsightError                  every error of ours; the message says what was expected, what was found, what to do
├── BundleError               the bundle's maker must act
│   ├── MalformedBundle       not a bundle, a broken archive, a manifest that does not fit its schema
│   ├── UnsupportedSchema     a manifest of a schema version that this install does not read
│   ├── SignatureMismatch     the manifest is not what was signed
│   ├── DigestMismatch        a file is not what the manifest says
│   ├── UnlistedFile          a file that the manifest does not list, or a listed one that is missing
│   ├── WrongRecipient        encrypted for another install than this one
│   └── GoldenMismatch        the model does not reproduce its golden scores on this machine
├── TrustError                the operator must act
│   ├── UntrustedKey          signed with a key that is not in the trust store
│   └── KeyFileError          a key file that cannot be read
└── ImageError                the sender of the image must act
    ├── EmptyImage            no bytes
    ├── ImageTooLarge         more bytes or pixels than the limit
    ├── UnsupportedImage      not one of the six formats
    └── CorruptImage          one of them, but unreadable
"""


class OnsightError(Exception):
    """Base of every error raised on purpose; its text may be shown to a user."""

    code = "ERROR"  # stable, for machines


class BundleError(OnsightError):
    code = "BUNDLE_INVALID"


class MalformedBundle(BundleError):
    code = "BUNDLE_MALFORMED"


class UnsupportedSchema(BundleError):
    code = "BUNDLE_SCHEMA"


class SignatureMismatch(BundleError):
    code = "BUNDLE_SIGNATURE"


class DigestMismatch(BundleError):
    code = "BUNDLE_DIGEST"


class UnlistedFile(BundleError):
    code = "BUNDLE_UNLISTED_FILE"


class WrongRecipient(BundleError):
    code = "BUNDLE_RECIPIENT"


class GoldenMismatch(BundleError):
    code = "BUNDLE_GOLDEN"


class TrustError(OnsightError):
    code = "TRUST"


class UntrustedKey(TrustError):
    code = "UNTRUSTED_KEY"


class KeyFileError(TrustError):
    code = "KEY_FILE"


class ImageError(OnsightError):
    code = "IMAGE_INVALID"


class EmptyImage(ImageError):
    code = "IMAGE_EMPTY"


class ImageTooLarge(ImageError):
    code = "IMAGE_TOO_LARGE"


class UnsupportedImage(ImageError):
    code = "IMAGE_UNSUPPORTED"


class CorruptImage(ImageError):
    code = "IMAGE_CORRUPT"
