"""What to train and how: every choice that a run depends on, written to `recipe.json` beside its result."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from bundle.manifest import Frozen, Task

Augmentation = Literal["none", "light", "flip"]


class Recipe(Frozen):
    """The user's choices; defaults suit a few hundred to some ten thousand images."""

    schema_version: Literal[1] = 1
    images: str = Field(description="folder of images")
    labels_file: str | None = Field(default=None, description="CSV or JSON label file; class folders where absent")
    task: Task | None = Field(default=None, description="found from the labels where absent")
    default_label: str | None = Field(default=None, description="label of images without one (single-label)")
    minutes: Annotated[float, Field(gt=0, le=60 * 24 * 30)] = Field(
        default=10.0, description="time budget of the training loop; it ends earlier once nothing improves"
    )
    backbone: str | None = Field(
        default=None, description="local transformers folder; a small network from random weights where absent"
    )
    fine_tune: bool = Field(default=False, description="train the backbone's weights too, after the head")
    random_weights: bool = Field(default=False, description="start the backbone from random weights (tiny images)")
    input_height: int | None = Field(default=None, ge=8, le=4096, description="pixels; the backbone's own where absent")
    input_width: int | None = Field(default=None, ge=8, le=4096, description="pixels; the backbone's own where absent")
    learning_rate: Annotated[float, Field(gt=0, lt=10)] | None = Field(
        default=None, description="peak of the schedule; chosen by stage where absent"
    )
    warm_start: str | None = Field(
        default=None, description="folder of a run of the same form, to begin from its best weights; labels by name"
    )
    hidden_units: int = Field(default=512, ge=0, le=65536, description="of the head; 0 is a linear head")
    epochs: int | None = Field(default=None, ge=1, description="upper limit; chosen by stage where absent")
    patience: int | None = Field(default=None, ge=1, description="epochs without improvement before it stops")
    batch_size: int | None = Field(default=None, ge=1, description="chosen by the number of images where absent")
    class_weighting: bool = Field(default=False, description="weight the loss by inverse label frequency")
    augmentation: Augmentation = Field(
        default="light",
        description="of fine-tuning and training from scratch: light is shift, zoom, turn and brightness; flip adds"
        " mirror images (not for text, digits or hands)",
    )
    validation_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.2
    test_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.0
    validation_list: str | None = Field(default=None, description="file that names the validation images")
    test_list: str | None = Field(default=None, description="file that names the test images")
    thresholds_from: Literal["train", "validation"] = "validation"
    seed: int = Field(default=0, ge=0, le=2**32 - 1)
    threads: int = Field(default=0, ge=0, description="CPU threads; 0 is one a core")
