import { fileURLToPath } from "node:url";
import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";
import { offline } from "./offline";

// For `npm run dev`: the studio that answers the API.
const STUDIO = process.env.ONSIGHT_STUDIO ?? "http://127.0.0.1:8080";

export default defineConfig({
  plugins: [react(), offline()],
  resolve: { alias: { "@": fileURLToPath(new URL("./src", import.meta.url)) } },
  build: { target: "es2022", chunkSizeWarningLimit: 900, assetsInlineLimit: 0 },
  server: { proxy: { "/studio": STUDIO, "/api": STUDIO, "/v1": STUDIO, "/v2": STUDIO } },
});
