/** Programs that ask this very model, in three languages. */
import type { Schemas } from "@/api/client";

export interface Wanted {
  state: Schemas["PredictState"];
  /** As this browser reaches the studio. */
  origin: string;
  token: string;
}

export const LANGUAGES = ["curl", "Python", "JavaScript"] as const;
export type Language = (typeof LANGUAGES)[number];

export function snippet(language: Language, { state, origin, token }: Wanted): string {
  const address = `${origin}/api/predict/${state.project}/${state.model}`;
  if (language === "curl") {
    return `curl -H "X-Auth-token: ${token}" \\
     -H "Content-Type: application/octet-stream" \\
     --data-binary @photo.jpg \\
     ${address}`;
  }
  if (language === "Python") {
    return `import json
import urllib.request

with open("photo.jpg", "rb") as photo:
    request = urllib.request.Request(
        "${address}",
        data=photo.read(),
        headers={
            "X-Auth-token": "${token}",
            "Content-Type": "application/octet-stream",
        },
    )
with urllib.request.urlopen(request) as answer:
    for score in json.load(answer):
        print(score["label"], score["score"])`;
  }
  return `import { readFile } from "node:fs/promises";

const answer = await fetch("${address}", {
  method: "POST",
  headers: {
    "X-Auth-token": "${token}",
    "Content-Type": "application/octet-stream",
  },
  body: await readFile("photo.jpg"),
});
for (const { label, score } of await answer.json()) console.log(label, score);`;
}
