"""What can go wrong between labelled images and a run, grouped by who can mend it.

OnsightError                  every error of ours (bundle/errors.py)
├── DatasetError              the images or their labels must be mended
│   ├── EmptyDataset          no folder, no image, or none that can be read
│   ├── LabelFileError        a label file that is missing, empty, garbled, or names none of the images
│   ├── TooFewLabels          nothing to tell apart
│   ├── SplitError            a fraction or a list that leaves a split impossible
│   └── SnapshotError         a snapshot file that cannot be read, or was changed after it was written
├── RunError                  the run folder or the recipe must be mended
└── BackboneError             the backbone folder must be mended
"""

from bundle.errors import OnsightError


class DatasetError(OnsightError):
    code = "DATASET_INVALID"


class EmptyDataset(DatasetError):
    code = "DATASET_EMPTY"


class LabelFileError(DatasetError):
    code = "LABEL_FILE"


class TooFewLabels(DatasetError):
    code = "TOO_FEW_LABELS"


class SplitError(DatasetError):
    code = "SPLIT"


class SnapshotError(DatasetError):
    code = "SNAPSHOT"


class RunError(OnsightError):
    code = "RUN_INVALID"


class BackboneError(OnsightError):
    code = "BACKBONE"
