/** One request of an upload. The one place that asks without the typed client: only XMLHttpRequest tells what was sent. */
import { csrfToken, type Schemas } from "@/api/client";
import { noteConnection } from "@/api/connection";
import { type Problem, problemOf } from "@/api/problem";

export type Report = Schemas["Report"];

interface Sending {
  address: string;
  body: FormData | File;
  signal: AbortSignal;
  /** part: of the body that has left, 0 to 1. */
  onSent: (part: number) => void;
  /** What is reported is durable. */
  onReport: (report: Report) => void;
}

/** Rejects with a ProblemError for what the studio refuses, with a TypeError where the connection broke. */
export function send({ address, body, signal, onSent, onReport }: Sending): Promise<void> {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    let read = 0;
    let problem: Problem | null = null; // the last line, where it went wrong on the way

    function readLines(): void {
      const end = request.responseText.lastIndexOf("\n") + 1;
      const lines = request.responseText.slice(read, end).split("\n");
      read = Math.max(read, end);
      for (const line of lines) {
        if (!line) continue;
        const told = JSON.parse(line) as Report | Problem;
        if ("outcome" in told) onReport(told);
        else problem = told;
      }
    }

    function finish(): void {
      noteConnection(true);
      if (request.status === 200) {
        try {
          readLines();
          if (problem) reject(problemOf(problem.status, problem));
          else resolve();
        } catch (error) {
          reject(error); // no line of the studio's
        }
        return;
      }
      let answer: unknown;
      try {
        answer = JSON.parse(request.responseText);
      } catch {
        answer = undefined; // of something between here and the studio
      }
      reject(problemOf(request.status, answer, request.getResponseHeader("Retry-After")));
    }

    request.open("POST", address);
    request.setRequestHeader("Accept", "application/x-ndjson");
    request.setRequestHeader("X-CSRF-Token", csrfToken());
    if (body instanceof File) request.setRequestHeader("Content-Type", "application/zip");
    request.upload.onprogress = ({ loaded, total }) => onSent(total ? loaded / total : 0);
    request.upload.onload = () => onSent(1);
    request.onprogress = () => {
      if (request.status === 200) readLines();
    };
    request.onload = finish;
    request.onerror = () => {
      noteConnection(false);
      reject(new TypeError("The connection broke."));
    };
    request.onabort = () => reject(new DOMException("cancelled", "AbortError"));
    signal.addEventListener("abort", () => request.abort(), { once: true });
    if (signal.aborted) request.abort();
    else request.send(body);
  });
}
