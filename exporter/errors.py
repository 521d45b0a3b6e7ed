"""What can go wrong between a run and a bundle.

OnsightError                  every error of ours (bundle/errors.py)
└── ExportError
    └── ParityError           the exported model does not answer as the trained one: nothing is written
"""

from bundle.errors import OnsightError


class ExportError(OnsightError):
    code = "EXPORT"


class ParityError(ExportError):
    code = "PARITY"
