/** The form of a training: what is in it, what it begins with, and what the studio is sent. */
import type { Counts } from "@/api/labels";
import type { TrainingInput } from "@/pages/train/jobs";

/** each: a model for every label, that tells its images from all others. */
export type Goal = "single_label" | "multi_label" | "each";

export interface TrainForm {
  name: string;
  goal: Goal;
  minutes: number;
  /** Names of the labels that are left out: labels that come later take part. */
  without: string[];
  /** Many labels: images without one show none of them. */
  unlabelledAsNegative: boolean;
  useFlags: boolean;
  validationPercent: number;
  testPercent: number;
  /** Of the list of networks; null for the studio's own choice. */
  backbone: string | null;
  fromScratch: boolean;
  /** Id of a training to begin from. */
  warmStart: string | null;
  fineTune: boolean;
  classWeighting: boolean;
  augmentation: NonNullable<TrainingInput["augmentation"]>;
  learningRate: number | null;
  epochs: number | null;
  patience: number | null;
  batchSize: number | null;
  size: number | null;
  hiddenUnits: number | null;
  seed: number;
}

export const BLANK: TrainForm = {
  name: "",
  goal: "single_label",
  minutes: 10,
  without: [],
  unlabelledAsNegative: false,
  useFlags: false,
  validationPercent: 20,
  testPercent: 0,
  backbone: null,
  fromScratch: false,
  warmStart: null,
  fineTune: false,
  classWeighting: false,
  augmentation: "light",
  learningRate: null,
  epochs: null,
  patience: null,
  batchSize: null,
  size: null,
  hiddenUnits: null,
  seed: 0,
};

/** By what is in the project: images with several labels ask for a model that gives several. */
export function goalOf(counts: Counts | undefined): Goal {
  return counts && counts.multi > 0 ? "multi_label" : "single_label";
}

/** chosen: names of labels, in the panel's order; the whole panel is sent as no choice. */
export function inputOf(form: TrainForm, chosen: string[]): TrainingInput {
  return {
    task: form.goal === "each" ? "multi_label" : form.goal,
    minutes: form.minutes,
    labels: form.without.length ? chosen : null,
    unlabelled_as_negative: form.goal === "each" || (form.goal === "multi_label" && form.unlabelledAsNegative),
    use_validation_flags: form.useFlags,
    validation_fraction: form.validationPercent / 100,
    test_fraction: form.testPercent / 100,
    backbone: form.fromScratch ? null : form.backbone,
    from_scratch: form.fromScratch,
    warm_start: form.warmStart,
    fine_tune: form.fineTune && !form.fromScratch,
    class_weighting: form.classWeighting,
    augmentation: form.augmentation,
    learning_rate: form.learningRate,
    epochs: form.epochs,
    patience: form.patience,
    batch_size: form.batchSize,
    size: form.size,
    hidden_units: form.hiddenUnits,
    seed: form.seed,
  };
}

/** What stands in the form of a job that is to be trained again, changed. */
export function formOf(name: string, input: TrainingInput, panel: string[]): TrainForm {
  const alone = input.labels?.length === 1 && input.unlabelled_as_negative;
  return {
    name,
    goal: alone ? "each" : (input.task ?? "single_label"),
    minutes: input.minutes ?? BLANK.minutes,
    without: input.labels ? panel.filter((label) => !input.labels?.includes(label)) : [],
    unlabelledAsNegative: input.unlabelled_as_negative ?? false,
    useFlags: input.use_validation_flags ?? false,
    validationPercent: Math.round((input.validation_fraction ?? 0.2) * 100),
    testPercent: Math.round((input.test_fraction ?? 0) * 100),
    backbone: input.backbone ?? null,
    fromScratch: input.from_scratch ?? false,
    warmStart: input.warm_start ?? null,
    fineTune: input.fine_tune ?? false,
    classWeighting: input.class_weighting ?? false,
    augmentation: input.augmentation ?? BLANK.augmentation,
    learningRate: input.learning_rate ?? null,
    epochs: input.epochs ?? null,
    patience: input.patience ?? null,
    batchSize: input.batch_size ?? null,
    size: input.size ?? null,
    hiddenUnits: input.hidden_units ?? null,
    seed: input.seed ?? 0,
  };
}
