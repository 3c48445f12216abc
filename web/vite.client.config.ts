import { defineConfig } from "vite";

// The live client as one file, /public/echotwin.js, for pages and scripts of
// others. The dashboard has it in its own bundle and never loads this one.
export default defineConfig({
  publicDir: false,
  build: {
    outDir: "dist",
    emptyOutDir: false, // beside the pages
    target: "es2022",
    modulePreload: { polyfill: false },
    rolldownOptions: {
      input: "src/live/index.ts",
      preserveEntrySignatures: "strict", // its exports are what it is for
      output: { format: "es", entryFileNames: "public/echotwin.js", banner: "/*! The live client of Echotwin, MIT. See docs/client.md. */" },
    },
  },
});
