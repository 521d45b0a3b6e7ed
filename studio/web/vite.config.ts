import { fileURLToPath } from "node:url";
import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";
import { offline } from "./offline.ts";

// For `npm run dev`: the studio that answers the API.
const STUDIO = process.env.ONSIGHT_STUDIO ?? "http://127.0.0.1:8080";

export default defineConfig({
  plugins: [react(), offline()],
  resolve: { alias: { "@": fileURLToPath(new URL("./src", import.meta.url)) } },
  // cssTarget: browsers that know light-dark(), which is replaced by variables that nothing sets for older ones.
  build: {
    license: { fileName: "licenses.json" }, // of everything that is bundled, with the texts; `onsight sbom` reads it
    target: "es2022", cssTarget: ["chrome123", "firefox120", "safari17.5"], chunkSizeWarningLimit: 900, assetsInlineLimit: 0,
  },
  server: { proxy: { "/studio": STUDIO, "/api": STUDIO, "/v1": STUDIO, "/v2": STUDIO } },
});
