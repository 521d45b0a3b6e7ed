/** The terms of the statistics: their names, and what each means, in one sentence or two. */
import type { Schemas } from "@/api/client";

export type Task = Schemas["ModelFacts"]["task"];
export type Split = Schemas["ListedModel"]["split"];

export const TASK_WORDS: Record<Task, string> = { single_label: "One label", multi_label: "Many labels" };
export const SPLIT_WORDS: Record<Split, string> = { train: "Training", validation: "Validation", test: "Test" };
export const SPLIT_ABOUT: Record<Split, string> = {
  train: "The images that the model learnt from. Figures on them flatter.",
  validation: "Images that chose the best model and its thresholds, and that it did not learn from.",
  test: "Images that had no say in anything: the most honest figures.",
};

const TERMS: Record<string, [string, string]> = {
  accuracy: ["Accuracy", "The share of answers that are right. With many labels: of all answers, label by label."],
  exact_match: ["Exact match", "The share of images of which every label is right."],
  hamming_loss: ["Hamming loss", "The share of wrong answers, label by label. Lower is better."],
  precision: ["Precision", "Of the images that the model gave a label, the share that really have it."],
  recall: ["Recall", "Of the images that really have a label, the share that the model found."],
  f1: ["F1", "The harmonic mean of precision and recall: high only where both are."],
  mcc: ["MCC", "Matthews' correlation: 1 is perfect, 0 is chance, -1 is always wrong. It is fair to rare labels."],
  mcc_macro: ["MCC, macro", "The mean over labels of Matthews' correlation: 1 is perfect, 0 is chance."],
  average_precision: ["Average precision", "The area below the precision-recall curve: how good it is over all thresholds."],
  map: ["mAP", "The mean over labels of average precision: how good the model is over all thresholds."],
  mean_average_precision: ["mAP", "The mean over labels of average precision: how good the model is over all thresholds."],
  cross_entropy: ["Cross-entropy", "How surprised the model is by the truth, in nats. Lower is better; 0 is always sure and right."],
  images: ["Images", "How many images of this split carry the label."],
  predicted: ["Predicted", "How many images the model gave the label."],
};

const AVERAGES: Record<string, [string, string]> = {
  micro: ["micro", "all answers counted together, so that frequent labels count more"],
  macro: ["macro", "the mean over labels, so that every label counts the same"],
  weighted: ["weighted", "the mean over labels, each by how many images have it"],
};

function parts(name: string): [string, [string, string] | undefined] {
  const [term, average] = [name.replace(/_(micro|macro|weighted)$/, ""), /_(micro|macro|weighted)$/.exec(name)?.[1]];
  return name in TERMS ? [name, undefined] : [term, average ? AVERAGES[average] : undefined];
}

export function termOf(name: string): string {
  const [term, average] = parts(name);
  const word = TERMS[term]?.[0] ?? name;
  return average ? `${word}, ${average[0]}` : word;
}

export function definitionOf(name: string): string {
  const [term, average] = parts(name);
  const text = TERMS[term]?.[1] ?? "";
  return average ? `${text} Here ${average[1]}.` : text;
}

/** The figures that say most, the first first. */
export function headlinesOf(task: Task): string[] {
  return task === "single_label"
    ? ["accuracy", "f1_macro", "mcc", "precision_macro", "recall_macro", "cross_entropy"]
    : ["f1_micro", "mean_average_precision", "exact_match", "f1_macro", "precision_micro", "recall_micro", "cross_entropy"];
}

/** Shares are shown as percentages; these are no shares. */
export const PLAIN = new Set(["mcc", "mcc_macro", "cross_entropy"]);
