/** What a model said of one picture, and what follows from it at the thresholds that are set on the page. */
import type { Schemas } from "@/api/client";

export type Answer = Schemas["NamedImageAnswer"];
export type Result = Answer | Schemas["RefusedImage"];
export type Choice = Schemas["ReadyModel"]["choice"];
/** Label -> from where on it counts. */
export type Thresholds = Record<string, number>;

export function isAnswer(result: Result): result is Answer {
  return "scores" in result;
}

/** As the studio decides: of a single-label model the most probable label, of another every one, from its threshold on. */
export function claimed(answer: Answer, task: Schemas["PredictState"]["task"], thresholds: Thresholds): string[] {
  if (answer.unknown) return [];
  const candidates = task === "single_label" ? answer.scores.slice(0, 1) : answer.scores;
  return candidates.filter(({ label, probability, threshold }) => probability >= (thresholds[label] ?? threshold)).map(({ label }) => label);
}
