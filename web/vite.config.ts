import { svelte } from "@sveltejs/vite-plugin-svelte";
import type { Plugin } from "vite";
import about from "./package.json" with { type: "json" };
import { defineConfig } from "vitest/config";

/** The server answers /app and /docs with their pages; so does the development server. */
const pages: Plugin = {
  name: "pages",
  configureServer(server) {
    server.middlewares.use((req, _res, next) => {
      req.url = req.url?.replace(/^\/(app|docs)(?:\/[a-z]+)?(?=$|\?)/, "/$1.html");
      next();
    });
  },
};

const backend = process.env.ECHOTWIN_URL ?? "http://127.0.0.1:3000";

export default defineConfig({
  plugins: [svelte(), pages],
  define: { __VERSION__: JSON.stringify(about.version) },
  build: {
    outDir: "dist",
    emptyOutDir: true, // dist/.gitkeep comes back from public/.gitkeep
    assetsDir: "public/assets",
    assetsInlineLimit: 0, // no data: URL for scripts or fonts, the policy allows self only
    modulePreload: { polyfill: false },
    target: "es2022",
    rolldownOptions: { input: ["login.html", "app.html", "docs.html"] },
    chunkSizeWarningLimit: 2000, // Swagger UI, loaded on /docs only
  },
  server: {
    proxy: {
      "/api": backend,
      "/events": backend,
      "/openapi.json": backend,
      "/ws": { target: backend, ws: true },
    },
  },
  // No test is about time, and the machine may be busy.
  test: { environment: "node", include: ["src/**/*.test.ts"], testTimeout: 60_000 },
});
