import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import type { Plugin } from "vite";

/** Writes `sw.js` into the build: serviceWorker.js, with the names of the files that it keeps. */
export function offline(): Plugin {
  return {
    name: "onsight-offline",
    apply: "build",
    enforce: "post",
    generateBundle(_, bundle) {
      const files = Object.keys(bundle)
        .filter((name) => name.startsWith("assets/"))
        .sort()
        .map((name) => `/${name}`);
      const worker = readFileSync(new URL("serviceWorker.js", import.meta.url), "utf8");
      const page = readFileSync(new URL("index.html", import.meta.url), "utf8");
      const version = createHash("sha256").update([worker, page, ...files].join("\n")).digest("hex").slice(0, 16);
      const source = worker.replace("__FILES__", JSON.stringify(files)).replace("__VERSION__", version);
      this.emitFile({ type: "asset", fileName: "sw.js", source });
    },
  };
}
