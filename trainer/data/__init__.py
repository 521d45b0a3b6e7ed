"""Labelled images as data: read what there is, describe how it looks, divide it, and record that as a snapshot.

Order: `read_dataset` lists files and labels without opening them; the caller reads each file once (digest, pixels,
`fingerprint`); `build_snapshot` does the rest. Nothing here decodes an image or knows a network.
"""

from trainer.data.duplicates import near_duplicate_groups
from trainer.data.findings import DatasetWarning, SkippedFile
from trainer.data.fingerprint import FINGERPRINT_BYTES, fingerprint
from trainer.data.snapshot import Snapshot, build_snapshot
from trainer.data.sources import Dataset, LabelledFile, read_dataset
from trainer.data.split import SPLITS, Split, assign_splits, read_split_list
from trainer.data.split_lists import check_split_choices

__all__ = [
    "FINGERPRINT_BYTES",
    "SPLITS",
    "Dataset",
    "DatasetWarning",
    "LabelledFile",
    "SkippedFile",
    "Snapshot",
    "Split",
    "assign_splits",
    "build_snapshot",
    "check_split_choices",
    "fingerprint",
    "near_duplicate_groups",
    "read_dataset",
    "read_split_list",
]
