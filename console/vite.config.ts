// Relative addresses (`base`) so that the console works behind any path prefix; no inlined file, since the content
// security policy allows no data: address for fonts or scripts; the licences of what is bundled go along as a file.
import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

export default defineConfig({
    base: "./",
    plugins: [react()],
    build: {
        target: "es2022",
        assetsInlineLimit: 0,
        modulePreload: { polyfill: false },
        license: { fileName: "licenses.txt" },
        chunkSizeWarningLimit: 1200,
    },
    // `npm run dev` beside a running node: PILOTHOUSE_URL says where it is.
    server: {
        proxy: {
            "/v1": process.env.PILOTHOUSE_URL ?? "http://127.0.0.1:8700",
            "/readyz": process.env.PILOTHOUSE_URL ?? "http://127.0.0.1:8700",
        },
    },
});
