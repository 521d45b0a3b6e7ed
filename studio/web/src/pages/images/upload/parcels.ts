/** What goes in one request: an archive, or a handful of files. Small enough to send again, large enough to be few. */
import { entriesOf, type Found, isArchive } from "@/pages/images/upload/gather";

const MOST_FILES = 100;
const MOST_BYTES = 32e6;

export interface Parcel {
  archive: File | null;
  /** Of an archive: itself. Those that are reported go. */
  left: Map<string, Found>;
  files: number;
  bytes: number;
  /** Of the request, 0 to 1. */
  sent: number;
  reported: number;
  isDone: boolean;
}

function parcel(found: Found[], archive: File | null, files: number): Parcel {
  const bytes = found.reduce((sum, { file }) => sum + file.size, 0);
  return { archive, left: new Map(found.map((one) => [one.path, one])), files, bytes, sent: 0, reported: 0, isDone: false };
}

/** In the order of the files, archives one by one. */
export async function parcelsOf(found: Found[]): Promise<Parcel[]> {
  const parcels: Parcel[] = [];
  let batch: Found[] = [];
  let batchBytes = 0;
  function close(): void {
    if (batch.length > 0) parcels.push(parcel(batch, null, batch.length));
    [batch, batchBytes] = [[], 0];
  }
  for (const one of found) {
    if (isArchive(one.file)) {
      parcels.push(parcel([one], one.file, (await entriesOf(one.file).catch(() => null)) ?? 1));
      continue;
    }
    if (batch.length === MOST_FILES || batchBytes + one.file.size > MOST_BYTES) close();
    batch.push(one);
    batchBytes += one.file.size;
  }
  close();
  return parcels;
}

/** How much of it is done, 0 to 1: sending and being worked on count half each. */
export function partOf({ isDone, sent, reported, files }: Parcel): number {
  return isDone ? 1 : 0.5 * sent + 0.5 * Math.min(1, reported / Math.max(1, files));
}
