/** The forms that a bundle can hold beside full precision, in words. */
import type { Schemas } from "@/api/client";

export type Variant = NonNullable<Schemas["ExportInput"]["variants"]>[number];

export const FORMS: { value: Exclude<Variant, "fp32">; label: string; about: string }[] = [
  { value: "int8", label: "int8, for CPUs", about: "A quarter of the size, and up to several times faster on CPUs with 8-bit instructions." },
  { value: "fp16", label: "fp16, for GPUs", about: "Half the size; for CUDA and TensorRT." },
  { value: "int8-tensorrt", label: "int8, for TensorRT", about: "The fastest on NVIDIA GPUs, with TensorRT alone." },
];

export const METRIC: Record<string, string> = { accuracy: "accuracy", mean_average_precision: "mean average precision" };

/** The highest number that the exports of this name have, and one more. */
export function nextVersion(jobs: Schemas["Job"][], name: string): string {
  const numbers = jobs.filter(({ export: made }) => made?.name === name).map(({ export: made }) => Number(made?.version) || 0);
  return String(Math.max(0, ...numbers) + 1);
}

/** As the studio makes it of a training's name. */
export function plainName(name: string): string {
  const plain = name.normalize("NFKD").replace(/[^\x20-\x7e]/g, "").toLowerCase();
  return plain.replace(/[^a-z0-9.]+/g, "-").replace(/^[-.]+|[-.]+$/g, "").slice(0, 64) || "model";
}
