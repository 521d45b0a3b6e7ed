/** All uploads of this tab, one after the other. They go on whatever page is open. */
import { useSyncExternalStore } from "react";
import { queries } from "@/api/queries";
import type { Found } from "@/pages/images/upload/gather";
import { Upload, type UploadOptions } from "@/pages/images/upload/Upload";

const TELL_EVERY_MS = 150;
const SHOW_EVERY_MS = 1_500;
const GONE_AFTER_MS = 12_000;

let uploads: Upload[] = [];
let version = 0;
let timer = 0;
let shownAt = 0;
let running = Promise.resolve();
const listeners = new Set<() => void>();

function tellNow(): void {
  timer = 0;
  version += 1;
  for (const listener of listeners) listener();
}

function changed(): void {
  if (timer === 0) timer = window.setTimeout(tellNow, TELL_EVERY_MS);
  const now = performance.now();
  if (now - shownAt > SHOW_EVERY_MS) {
    shownAt = now;
    void show();
  }
}

/** New images appear in the grid while the others are on their way. */
async function show(): Promise<void> {
  const names = ["labels", "counts", "images", "project", "projects"];
  await Promise.all(names.map((name) => queries.invalidateQueries({ queryKey: [name] })));
}

function warn(event: BeforeUnloadEvent): void {
  event.preventDefault();
}

export function startUpload(project: string, found: Found[], options: UploadOptions): void {
  const upload = new Upload(project, found, options, changed);
  uploads = [...uploads, upload];
  enqueue(upload);
}

function enqueue(upload: Upload): void {
  tellNow();
  running = running.then(async () => {
    window.addEventListener("beforeunload", warn);
    try {
      await upload.run();
    } finally {
      window.removeEventListener("beforeunload", warn);
      tellNow();
      await show();
      if (upload.state === "done" && upload.counts.refused === 0) window.setTimeout(() => dismiss(upload), GONE_AFTER_MS);
    }
  });
}

/** Of one that stopped. */
export function goOn(upload: Upload): void {
  enqueue(upload);
}

export function dismiss(upload: Upload): void {
  uploads = uploads.filter((each) => each !== upload);
  tellNow();
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export function useUploads(): Upload[] {
  useSyncExternalStore(subscribe, () => version);
  return uploads;
}
