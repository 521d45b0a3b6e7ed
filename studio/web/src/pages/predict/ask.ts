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

/** An image of the project as a file of this machine. */
async function asFile({ project }: Asked, picture: Picture): Promise<Picture> {
  if (!picture.image) return picture;
  const path = { project, image: picture.image };
  const data = await take(api.GET("/studio/v1/projects/{project}/images/{image}/file", { params: { path }, parseAs: "blob" }));
  const name = picture.name || picture.image;
  return { ...picture, name, image: undefined, file: new File([data], name) };
}

/** `*` where all labels have the same: an address has little room. labels: of the model. */
function wordsOf(thresholds: Thresholds, labels: number): string[] {
  const given = Object.entries(thresholds);
  const same = given.length > 0 && given.length === labels && given.every(([, value]) => value === given[0]![1]);
  return (same ? [["*", given[0]![1]] as const] : given).map(([label, value]) => `${label}:${value}`);
}

/** Everything in one file, made by the studio: of files, of which a request takes more than of images by their ids. */
export async function predictToFile(
  asked: Asked, pictures: Picture[], thresholds: Thresholds, labels: number, format: "json" | "csv" | "zip",
): Promise<Blob> {
  const threshold = wordsOf(thresholds, labels);
  const query = { choice: asked.choice, threshold, format };
  const files = await Promise.all(pictures.map((picture) => asFile(asked, picture)));
  return take(api.POST(PREDICT, { params: { path: pathOf(asked), query }, ...bodyOf(files), parseAs: "blob" }));
}

export async function heatmap(asked: Asked, picture: Picture, label: string, signal: AbortSignal) {
  const query = { choice: asked.choice, image: imagesOf([picture]), label };
  const address = "/studio/v1/projects/{project}/models/{job}/heatmap";
  const body = picture.file
    ? { body: "" as never, bodySerializer: () => picture.file as never, headers: { "Content-Type": "application/octet-stream" } }
    : {};
  return take(api.POST(address, { params: { path: pathOf(asked), query }, ...body, signal }));
}
