"""Runs a run's stages one after the other: builds networks, records every epoch, saves what a resume needs."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bundle.manifest import Task
from trainer.backbone import load_encoder
from trainer.fit import FitState, predict_logits
from trainer.head import Classifier, Head
from trainer.progress import Reporter, duration
from trainer.recipe import Recipe
from trainer.run import ModelDescription, Run
from trainer.run_folder import ModelChoice
from trainer.stage_defaults import DEFAULTS, FINE_TUNE, HEAD, NETWORK, WORK, steps_of
from trainer.stages import Examples, FeatureInputs, PixelInputs, pack_state, plan_stage, run_stage, unpack_state
from trainer.warm_start import WarmStart, check_labels_in_common

SAVE_INTERVAL_S = 10.0


@dataclass(frozen=True)
class Trained:
    """A network with the weights that the stages gave; `best` and `last` fit its state_dict."""

    network: Head | Classifier
    inputs: FeatureInputs | PixelInputs
    best: dict[str, Tensor]
    last: dict[str, Tensor]
    best_loss: float
    interrupted: bool

    def weights(self) -> dict[ModelChoice, dict[str, Tensor]]:
        return {"best": self.best, "last": self.last}

    def logits(self, weights: dict[str, Tensor], count: int) -> NDArray[np.float32]:
        """Scores (count, C) of the first `count` rows of the inputs, before temperature."""
        self.network.load_state_dict(weights)
        batch = DEFAULTS[HEAD if isinstance(self.network, Head) else NETWORK].evaluation_batch
        return predict_logits(self.network, self.inputs, np.arange(count), batch)


class StageRunner:
    """One run's stages. The time budget is shared: what one stage leaves, the next may use."""

    def __init__(
        self, run: Run, recipe: Recipe, description: ModelDescription, examples: Examples, reporter: Reporter,
        warm: WarmStart | None = None,
    ) -> None:  # fmt: skip
        """warm: another run to begin from. Raises RunError where it knew none of the labels."""
        if warm is not None:
            check_labels_in_common(warm, description.labels)
        self._warm = warm
        self.run = run
        self.recipe = recipe
        self.description = description
        self.examples = examples
        self.reporter = reporter
        self._budget_s = recipe.minutes * 60
        self._saved_at = 0.0
        self._resumed_stage, self._resumed_state = self._load_unfinished()
        if not run.model_path.is_file():
            self._write_description(description)

    def head(self, inputs: FeatureInputs) -> Trained:
        head = self._new_head()
        head.standardise(inputs.features, self.examples.train_rows)
        if self._warm is not None:
            self._tell_known(self._warm.begin_head(head, self.description.labels))
        if self._resumed_stage == FINE_TUNE:  # this stage was done before; the next one's state holds its result
            return Trained(head, inputs, {}, {}, float("inf"), interrupted=False)
        return self._run(head, inputs, HEAD, None)

    def fine_tune(self, inputs: PixelInputs, trained: Trained) -> Trained:
        """Train encoder and head together, from the head's best weights; the best of both stages is kept."""
        head = self._new_head()
        if trained.best:
            head.load_state_dict(trained.best)
        network = Classifier(load_encoder(self.description.backbone), head, keep_statistics=True)
        weights = {name: value.clone() for name, value in network.state_dict().items()}
        start = FitState(best_loss=trained.best_loss, best=weights, average=weights, weights=weights)
        return self._run(network, inputs, FINE_TUNE, start)

    def from_random_weights(self, inputs: PixelInputs) -> Trained:
        encoder = load_encoder(self.description.backbone, seed=self.recipe.seed, random_weights=True)
        network = Classifier(encoder, self._new_head())
        if self._warm is not None:
            self._tell_known(self._warm.begin(network, self.description.labels))
        return self._run(network, inputs, NETWORK, None)

    def _tell_known(self, known: int) -> None:
        self.reporter.say(f"beginning from another run, which knew {known} of {len(self.description.labels)} labels")

    def _new_head(self) -> Head:
        torch.manual_seed(self.recipe.seed)
        hidden = self.description.hidden_units
        head = Head(self.description.feature_count, len(self.description.labels), hidden)
        train = self.examples.label_matrix[self.examples.train_rows]
        head.start_from_priors(train, exclusive=self.examples.task is Task.SINGLE_LABEL)
        return head

    def _run(
        self, network: Head | Classifier, inputs: FeatureInputs | PixelInputs, stage: str, start: FitState | None
    ) -> Trained:
        plan = plan_stage(stage, self.recipe, self.examples, self._budget_s)
        steps = steps_of(stage, self.recipe, len(self.examples.train_rows))
        state = self._resumed_state if self._resumed_stage == stage else None
        if state is None:
            state = replace(start or FitState(), planned_epochs=plan.epochs)
        self.reporter.say(
            f"{WORK[stage]}{f' after epoch {state.epoch}' if state.epoch else ''}: at most"
            f" {steps:,} steps in {plan.epochs} epochs of batches of {plan.batch_size},"
            f" at most {duration(self._budget_s)}"
        )

        def on_epoch(row: dict[str, object], state: FitState) -> None:
            self.run.append_event("epoch", **row)
            now = time.monotonic()
            if state.finished or now - self._saved_at > SAVE_INTERVAL_S:
                self._save_unfinished(stage, state)

        def on_step(step: int, total: int) -> None:
            self.reporter.progress(WORK[stage], step, total)

        state = run_stage(network, inputs, self.examples, plan, state=state, on_step=on_step, on_epoch=on_epoch)
        self._save_unfinished(stage, state)
        self._budget_s = max(0.0, self._budget_s - state.elapsed_s)
        whole = isinstance(network, Classifier)
        self._write_description(self.description.model_copy(update={"encoder_trained": whole}))
        split = "validation" if len(self.examples.validation_rows) else "training"
        where = f"in epoch {state.best_epoch}" if state.best_epoch else "before it"
        self.reporter.say(
            f"{WORK[stage]}: {state.epoch} epochs in {duration(state.elapsed_s)},"
            f" best {split} cross-entropy {state.best_loss:.4f} {where}"
        )
        best = state.best or state.average
        return Trained(network, inputs, best, state.average, state.best_loss, interrupted=not state.finished)

    def _write_description(self, description: ModelDescription) -> None:
        self.run.write_json(self.run.model_path, description.model_dump(mode="json"))

    def _save_unfinished(self, stage: str, state: FitState) -> None:
        tensors, scalars = pack_state(state)
        self.run.save_tensors(
            self.run.resume_path, tensors, {"stage": stage, "budget_s": repr(self._budget_s), **scalars}
        )
        self._saved_at = time.monotonic()

    def _load_unfinished(self) -> tuple[str | None, FitState | None]:
        if not self.run.resume_path.is_file():
            return None, None
        tensors, metadata = self.run.load_tensors_and_metadata(self.run.resume_path)
        self._budget_s = float(metadata["budget_s"])
        return metadata["stage"], unpack_state(tensors, metadata)
