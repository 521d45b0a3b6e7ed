/** The studio's API, typed by its own OpenAPI document. Everything but uploads goes through here. */
import createClient from "openapi-fetch";
import { noteConnection } from "@/api/connection";
import { problemOf } from "@/api/problem";
import type { components, paths } from "@/api/schema";

export type Schemas = components["schemas"];

const CSRF_COOKIE = "onsight_csrf";

/** What every change of a session carries: only a page of the studio's own can read the cookie. */
export function csrfToken(): string {
  const found = document.cookie.split("; ").find((each) => each.startsWith(`${CSRF_COOKIE}=`));
  return found ? decodeURIComponent(found.slice(CSRF_COOKIE.length + 1)) : "";
}

export const api = createClient<paths>({ baseUrl: window.location.origin });

api.use({
  onRequest({ request }) {
    if (request.method !== "GET" && request.method !== "HEAD") request.headers.set("X-CSRF-Token", csrfToken());
    return request;
  },
  onResponse() {
    noteConnection(true);
  },
  onError({ error }) {
    if (error instanceof TypeError) noteConnection(false); // what fetch throws where nothing answers
  },
});

interface Answer<T> {
  data?: T;
  error?: unknown;
  response: Response;
}

/** The answer's body. Throws a ProblemError where there is none: what queries and mutations want. */
export async function take<T>(asked: Promise<Answer<T>>): Promise<T> {
  const { data, error, response } = await asked;
  if (!response.ok) throw problemOf(response.status, error, response.headers.get("Retry-After"));
  return data as T;
}
