/** The calls of this page: predictions as answers or as files, heatmaps. */
import { api, take, type Schemas } from "@/api/client";
import type { Choice, Result, Thresholds } from "@/pages/predict/answers";
import type { Picture } from "@/pages/predict/pictures";

export interface Asked {
  project: string;
  model: string;
  choice: Choice;
}

const PREDICT = "/studio/v1/projects/{project}/models/{job}/predict";

function pathOf({ project, model }: Asked) {
  return { project, job: model };
}

/** Files go as a form, images of the project by their ids; a request has the one or the other. */
function bodyOf(pictures: Picture[]): { body?: never; bodySerializer?: () => FormData } {
  if (pictures[0]?.image) return {};
  const form = new FormData();
  for (const { file, name } of pictures) if (file) form.append("file", file, name);
  return { body: {} as never, bodySerializer: () => form };
}

function imagesOf(pictures: Picture[]): string[] | undefined {
  const ids = pictures.flatMap(({ image }) => (image ? [image] : []));
  return ids.length ? ids : undefined;
}

export async function predict(asked: Asked, pictures: Picture[], signal: AbortSignal): Promise<Result[]> {
  const query = { choice: asked.choice, image: imagesOf(pictures) };
  const answer = await take(api.POST(PREDICT, { params: { path: pathOf(asked), query }, ...bodyOf(pictures), signal }));
  return (answer as Schemas["PredictAnswer"]).results;
}

/** Everything in one file, made by the studio. */
export async function predictToFile(
  asked: Asked, pictures: Picture[], thresholds: Thresholds, format: "json" | "csv" | "zip",
): Promise<Blob> {
  const threshold = Object.entries(thresholds).map(([label, value]) => `${label}:${value}`);
  const query = { choice: asked.choice, image: imagesOf(pictures), threshold, format };
  return take(api.POST(PREDICT, { params: { path: pathOf(asked), query }, ...bodyOf(pictures), parseAs: "blob" }));
}

export async function heatmap(asked: Asked, picture: Picture, label: string, signal: AbortSignal) {
  const query = { choice: asked.choice, image: imagesOf([picture]), label };
  const address = "/studio/v1/projects/{project}/models/{job}/heatmap";
  const body = picture.file
    ? { body: "" as never, bodySerializer: () => picture.file as never, headers: { "Content-Type": "application/octet-stream" } }
    : {};
  return take(api.POST(address, { params: { path: pathOf(asked), query }, ...body, signal }));
}
