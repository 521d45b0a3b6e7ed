"""What a person asks of a job, checked when it is put into the queue and kept in its row."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from bundle.manifest import Frozen, Task
from trainer.recipe import Augmentation, Recipe
from trainer.run_folder import ModelChoice

Share = Annotated[float, Field(ge=0, lt=1)]
LabelName = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00]+$")]  # PostgreSQL takes no zero
# By the trainer's own defaults and limits: a training of the studio is one of the command line.
_DEFAULTS = Recipe(images="")


class TrainingInput(Frozen):
    """The options of `onsight train` that the studio offers; what is left out is the trainer's choice."""

    task: Task | None = None
    minutes: Annotated[float, Field(gt=0, le=60 * 24 * 30)] = _DEFAULTS.minutes
    labels: tuple[str, ...] | None = Field(default=None, description="names to train on; all where absent")
    unlabelled_as_negative: bool = Field(
        default=False, description="multi-label: images without a label show none of them, instead of being left out"
    )
    use_validation_flags: bool = Field(
        default=False, description="the images that were flagged are the validation images, instead of a share"
    )
    validation_fraction: Share = _DEFAULTS.validation_fraction
    test_fraction: Share = _DEFAULTS.test_fraction
    backbone: str | None = Field(default=None, max_length=200, pattern=r"^[\w.-]+$", description="a name of the list")
    from_scratch: bool = False
    fine_tune: bool = False
    warm_start: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9]{1,32}$",
        description="id of a training, to begin from its best model",
    )
    size: int | None = Field(default=None, ge=8, le=4096, description="edge of the input in pixels")
    hidden_units: int | None = Field(default=None, ge=0, le=65536)
    learning_rate: Annotated[float, Field(gt=0, lt=10)] | None = None
    epochs: int | None = Field(default=None, ge=1)
    patience: int | None = Field(default=None, ge=1)
    batch_size: int | None = Field(default=None, ge=1)
    class_weighting: bool = False
    augmentation: Augmentation = _DEFAULTS.augmentation
    seed: int = Field(default=0, ge=0, le=2**32 - 1)

    def options(self) -> list[str]:
        """For `onsight train`."""
        words: list[str] = []
        for option, value in (
            ("--minutes", self.minutes), ("--validation", self.validation_fraction), ("--test", self.test_fraction),
            ("--backbone", self.backbone), ("--size", self.size), ("--hidden-units", self.hidden_units),
            ("--learning-rate", self.learning_rate), ("--epochs", self.epochs), ("--patience", self.patience),
            ("--batch-size", self.batch_size), ("--augmentation", self.augmentation), ("--seed", self.seed),
        ):  # fmt: skip
            if value is not None:
                words += [option, str(value)]
        for option, wanted in (
            ("--from-scratch", self.from_scratch), ("--fine-tune", self.fine_tune),
            ("--class-weighting", self.class_weighting), ("--single-label", self.task is Task.SINGLE_LABEL),
            ("--multi-label", self.task is Task.MULTI_LABEL),
        ):  # fmt: skip
            if wanted:
                words.append(option)
        return words


class NoInput(Frozen):
    """Of jobs that nobody asks for."""


class ExportInput(Frozen):
    """The options of `onsight export` that the studio offers."""

    training: str = Field(pattern=r"^[A-Za-z0-9]{1,32}$", description="public id of the job that trained it")
    model: ModelChoice = "best"
    name: str = Field(default="model", pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$", description="the model's, in addresses")
    version: str = Field(default="1", pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,63}$")
    variants: tuple[Literal["fp32", "fp16", "int8", "int8-tensorrt"], ...] = Field(default=("fp32",), max_length=4)
    license_required: bool = False
    thresholds: dict[LabelName, Annotated[float, Field(ge=0, le=1)]] | None = Field(
        default=None, max_length=10_000, description="of labels; those that were saved for the model where absent"
    )

    def options(self) -> list[str]:
        """For `onsight export`; thresholds come in a file."""
        words = ["--model", self.model, "--name", self.name, "--model-version", self.version]
        words += ["--variants", ",".join(self.variants)]
        return [*words, "--license-required"] if self.license_required else words
