import type { components } from "@/api/schema";

export type Problem = components["schemas"]["Problem"];

/** What the studio answered instead of what was asked for: its stable code, and words for people. */
export class ProblemError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    detail: string,
    /** Seconds after which it may be tried again; null where the studio says nothing of it. */
    readonly retryAfterS: number | null = null,
  ) {
    super(detail);
    this.name = "ProblemError";
  }
}

/** From an answer's body, which is a problem document unless something between here and the studio answered. */
export function problemOf(status: number, body: unknown, retryAfter: string | null = null): ProblemError {
  const known = body as Partial<Problem> | undefined;
  return new ProblemError(
    status,
    known?.code ?? "NO_ANSWER",
    known?.detail ?? known?.title ?? `The studio answered with status ${status} and no reason.`,
    Number(retryAfter) || null,
  );
}

/** In words, of anything that was thrown. */
export function reasonOf(error: unknown): string {
  if (error instanceof ProblemError) return error.message;
  if (error instanceof TypeError) return "The studio does not answer. Is it running, and is this machine connected to it?";
  return error instanceof Error ? error.message : String(error);
}
