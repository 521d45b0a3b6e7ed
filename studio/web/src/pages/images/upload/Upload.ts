/** An upload: parcels on their way, a few at once; reports as they come; after a broken connection it goes on by itself. */
import { api, take } from "@/api/client";
import { ProblemError, reasonOf } from "@/api/problem";
import { type Found, sha256Of } from "@/pages/images/upload/gather";
import { type Parcel, parcelsOf, partOf } from "@/pages/images/upload/parcels";
import { type Report, send } from "@/pages/images/upload/send";

export interface UploadOptions {
  labels: string[];
  folderLabels: boolean;
  validation: boolean;
}

export type UploadState = "waiting" | "sending" | "lost" | "stopped" | "cancelled" | "done";

const AT_ONCE = 2; // a browser has six connections to a studio, and pictures want some of them
const FIRST_WAIT_S = 2;
const LONGEST_WAIT_S = 30;
const KNOWN_AT_ONCE = 1000;
const WINDOW_MS = 10_000;
/** After these nothing else would go through either. */
const STOPPING = new Set([401, 403, 404, 507]);

export class Upload {
  state: UploadState = "waiting";
  error = "";
  readonly reports = new Map<string, Report>();
  readonly counts = { added: 0, duplicate: 0, refused: 0 };
  parcels: Parcel[] = [];
  files: number;
  readonly bytes: number;
  private cancelling = new AbortController();
  private wake: () => void = () => {};
  private readonly history: { ms: number; bytes: number; reports: number }[] = [];

  constructor(
    readonly project: string,
    readonly found: Found[],
    readonly options: UploadOptions,
    private readonly onChange: () => void,
  ) {
    this.files = found.length;
    this.bytes = found.reduce((sum, { file }) => sum + file.size, 0);
  }

  /** 0 to 1. */
  get part(): number {
    if (this.state === "done") return 1;
    return this.parcels.reduce((sum, one) => sum + partOf(one) * one.bytes, 0) / Math.max(1, this.bytes);
  }

  get isRunning(): boolean {
    return this.state === "waiting" || this.state === "sending" || this.state === "lost";
  }

  /** Of the last seconds. bytesPerS: sent.  leftS: until all is sent and reported; null while it cannot be told. */
  get speed(): { bytesPerS: number; leftS: number | null } {
    const [first, last] = [this.history[0], this.history.at(-1)];
    const seconds = first && last ? (last.ms - first.ms) / 1000 : 0;
    if (!first || !last || seconds < 1) return { bytesPerS: 0, leftS: null };
    const bytesPerS = (last.bytes - first.bytes) / seconds;
    const toSendS = last.bytes < this.bytes ? (this.bytes - last.bytes) / bytesPerS : 0;
    const toReportS = (this.files - last.reports) / ((last.reports - first.reports) / seconds);
    const leftS = Math.max(toSendS, toReportS);
    return { bytesPerS, leftS: Number.isFinite(leftS) ? Math.max(0, leftS) : null };
  }

  async run(): Promise<void> {
    if (this.state === "cancelled") return;
    this.state = "sending";
    this.error = "";
    if (this.parcels.length === 0) this.parcels = await parcelsOf(this.found);
    this.files = this.parcels.reduce((sum, { files }) => sum + files, 0);
    this.changed();
    const waiting = this.parcels.filter(({ isDone }) => !isDone);
    const worker = async () => {
      for (let next = waiting.shift(); next && this.isRunning; next = waiting.shift()) await this.deliver(next);
    };
    await Promise.all(Array.from({ length: AT_ONCE }, worker));
    if (this.isRunning) this.state = "done";
    this.changed();
  }

  cancel(): void {
    this.state = "cancelled";
    this.cancelling.abort();
    this.wake();
    this.changed();
  }

  /** Do not wait any longer for the connection. */
  tryNow(): void {
    this.wake();
  }

  private async deliver(parcel: Parcel): Promise<void> {
    for (let waitS = FIRST_WAIT_S; this.isRunning; waitS = Math.min(LONGEST_WAIT_S, 2 * waitS)) {
      try {
        await this.attempt(parcel);
        parcel.isDone = true;
        break;
      } catch (error) {
        if (!this.isRunning) return;
        if (error instanceof ProblemError && STOPPING.has(error.status)) {
          this.stop(error);
          break;
        }
        if (error instanceof ProblemError && error.status < 500 && error.status !== 429) {
          this.refuse(parcel, [...parcel.left.keys()], error.code, error.message);
          parcel.isDone = true;
          break;
        }
        this.state = "lost";
        this.error = reasonOf(error);
        this.changed();
        await new Promise<void>((resolve) => {
          this.wake = resolve;
          window.setTimeout(resolve, 1000 * waitS);
        });
        await this.passOverUnreadable(parcel);
      }
    }
    this.changed();
  }

  private async attempt(parcel: Parcel): Promise<void> {
    await this.passOverKnown(parcel);
    if (parcel.left.size === 0) return;
    parcel.sent = 0;
    const query = new URLSearchParams(this.options.labels.map((label) => ["label", label]));
    if (this.options.folderLabels) query.set("folder_labels", "true");
    if (this.options.validation) query.set("validation", "true");
    let body: FormData | File;
    if (parcel.archive) body = parcel.archive;
    else {
      body = new FormData();
      for (const { file, path } of parcel.left.values()) body.append("file", file, path);
    }
    await send({
      address: `/studio/v1/projects/${this.project}/images?${query}`,
      body,
      signal: this.cancelling.signal,
      onSent: (part) => {
        parcel.sent = part;
        if (this.state === "lost") this.state = "sending";
        this.changed();
      },
      onReport: (report) => this.take(parcel, report),
    });
  }

  private take(parcel: Parcel, report: Report): void {
    const key = parcel.archive ? `${this.parcels.indexOf(parcel)} ${report.name}` : report.name;
    const before = this.reports.get(key);
    if (!parcel.archive) parcel.left.delete(report.name);
    if (before && before.outcome !== "refused") return; // of the attempt before: that one added it
    if (before) this.counts[before.outcome] -= 1;
    else parcel.reported += 1;
    this.counts[report.outcome] += 1;
    this.reports.set(key, report);
    this.changed();
  }

  /** What is there already, from an attempt before, need not be sent again. Its labels would be missing: then it is. */
  private async passOverKnown(parcel: Parcel): Promise<void> {
    const { labels, folderLabels } = this.options;
    if (parcel.archive || labels.length > 0 || folderLabels || !globalThis.crypto?.subtle) return;
    const left = [...parcel.left.values()];
    for (let at = 0; at < left.length; at += KNOWN_AT_ONCE) {
      const some = left.slice(at, at + KNOWN_AT_ONCE);
      const digests = await Promise.all(some.map(({ file }) => sha256Of(file)));
      const known = await take(
        api.POST("/studio/v1/projects/{project}/images/known", {
          params: { path: { project: this.project } }, body: { sha256: digests },
        }),
      );
      some.forEach(({ path }, place) => {
        const sha256 = digests[place]!;
        if (!known.sha256.includes(sha256)) return;
        this.take(parcel, { name: path, outcome: "duplicate", image: null, stored_name: null, sha256, code: "", detail: "" });
      });
    }
  }

  /** A file that changed or went since it was chosen looks like a broken connection too. */
  private async passOverUnreadable(parcel: Parcel): Promise<void> {
    const left = [...parcel.left];
    const isReadable = await Promise.all(left.map(([, { file }]) => file.slice(0, 1).arrayBuffer().then(() => true, () => false)));
    const gone = left.filter((_, place) => !isReadable[place]).map(([path]) => path);
    this.refuse(parcel, gone, "FILE_UNREADABLE", "It changed or went since it was chosen. Choose it again.");
    for (const path of gone) parcel.left.delete(path);
  }

  private refuse(parcel: Parcel, paths: string[], code: string, detail: string): void {
    for (const path of paths) {
      this.take(parcel, { name: path, outcome: "refused", image: null, stored_name: null, sha256: null, code, detail });
    }
  }

  private stop(error: ProblemError): void {
    this.state = "stopped";
    this.error = error.message;
    this.cancelling.abort();
    this.cancelling = new AbortController();
  }

  private changed(): void {
    const ms = performance.now();
    const bytes = this.parcels.reduce((sum, { sent, isDone, bytes: all }) => sum + (isDone ? 1 : sent) * all, 0);
    this.history.push({ ms, bytes, reports: this.reports.size });
    while (this.history.length > 2 && ms - this.history[0]!.ms > WINDOW_MS) this.history.shift();
    this.onChange();
  }
}
