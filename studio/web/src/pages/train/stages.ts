/** Where a training is, in words and in four steps. */
import type { Job } from "@/pages/train/jobs";
import { count } from "@/components/words";

export const STEPS = [
  { name: "Start", about: "The images and labels of this training are put into a folder of their own, and the trainer is loaded.", share: 1 },
  { name: "Images", about: "Every image is read once, and what the network sees in it is noted.", share: 3 },
  { name: "Training", about: "The model learns, epoch by epoch; the best one is kept.", share: 5 },
  { name: "Model", about: "The model is measured and made ready to predict.", share: 1 },
] as const;

const READING = ["features", "images"];

/** The step, from 0, and how much of it is done (0 to 1; null: not known). */
export function stepOf({ state, progress }: Job): { step: number; done: number | null } {
  const { stage, done, total, epoch } = progress;
  const share = done != null && total ? Math.min(1, done / total) : null;
  if (state === "queued") return { step: -1, done: 0 };
  if (!stage || stage === "files") return { step: 0, done: share };
  if (stage === "bundle") return { step: 3, done: null };
  if (READING.includes(stage)) return epoch == null ? { step: 1, done: share } : { step: 2, done: null };
  return share === 1 ? { step: 3, done: null } : { step: 2, done: share };
}

export function stageWords(job: Job): string {
  const { stage, done, total, epoch, planned_epochs } = job.progress;
  if (job.state === "queued") return "Waiting";
  const { step } = stepOf(job);
  const counted = done != null && total ? `: ${done.toLocaleString("en")} of ${count(total, "image")}` : "";
  if (step === 0) return job.state === "running" ? "Loading the trainer" : `Laying the files out${counted}`;
  if (step === 1) return `Reading the images${counted}`;
  if (step === 3) return stage === "bundle" ? "Getting the model ready to predict" : "Measuring the model";
  if (stage && READING.includes(stage)) return `Reading the images for fine-tuning${counted}`;
  const work = stage ? stage[0]?.toUpperCase() + stage.slice(1) : "Training";
  if (epoch == null) return `${work}: the first epoch`;
  return planned_epochs ? `${work}: epoch ${epoch} of at most ${planned_epochs}` : `${work}: epoch ${epoch}`;
}
