// Three entries, named by the hash of their content; the manifest tells the pages which.
import { rm, writeFile } from "node:fs/promises";
import { basename, relative } from "node:path";
import { build } from "esbuild";

const out = "../static/dist";
await rm(out, { recursive: true, force: true });
const done = await build({
  entryPoints: ["src/live.ts", "src/chart.ts", "src/logs.ts"],
  outdir: out,
  entryNames: "[name]-[hash]",
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  legalComments: "eof",
  metafile: true,
});
const entries = Object.entries(done.metafile.outputs).filter(([, made]) => made.entryPoint);
const manifest = Object.fromEntries(entries.map(([file, made]) => [basename(made.entryPoint, ".ts"), relative(out, file)]));
await writeFile(`${out}/manifest.json`, JSON.stringify(manifest, null, 2));
