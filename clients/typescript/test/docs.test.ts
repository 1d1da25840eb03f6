import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const CLIENT = fileURLToPath(new URL("..", import.meta.url));
const PAGE = new URL("../../../docs/typescript.md", import.meta.url);

/** What a reader takes as given: names that are the application's own, or were introduced before. */
const GIVEN = `
declare const response: { write(text: string): void };
declare const [model, messages]: [string, object[]];
interface Chunk { choices: { delta: { content?: string } }[] }
declare const openai: { chat: { completions: {
  create(asked: object, options: { signal: AbortSignal }): Promise<AsyncIterable<Chunk>>;
} } };
`;

test("the pieces of code in the docs pass the strict type check", () => {
  const page = readFileSync(PAGE, "utf8");
  const pieces = [...page.matchAll(/^```typescript\n(.*?)^```/gms)].map(([, code]) => code);
  assert.equal(pieces.length, 2);
  const file = `${CLIENT}build/pieces.mts`;
  writeFileSync(file, GIVEN + pieces.join(""));
  try {
    const args = ["node_modules/typescript/bin/tsc", "--noEmit", "--strict", "--exactOptionalPropertyTypes", "--target", "es2022"];
    const checked = spawnSync(process.execPath, [...args, "--module", "nodenext", file], {
      cwd: CLIENT,
      encoding: "utf8",
    });
    assert.equal(checked.status, 0, checked.stdout);
  } finally {
    rmSync(file);
  }
});
