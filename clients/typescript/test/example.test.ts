import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { copyFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

import { Service } from "./service.js";
import { eventually } from "./waiting.js";

const CLIENT = fileURLToPath(new URL("..", import.meta.url));
const EXAMPLE = fileURLToPath(new URL("../../../examples/node_agent/agent.js", import.meta.url));

test("the example streams, with the package as it is installed, until it is stopped", async () => {
  const service = await Service.start();
  try {
    const cwd = service.folder;
    const install = ["install", "--silent", "--install-links", "--offline", "--no-save", CLIENT];
    const installed = spawnSync("npm", install, { cwd, encoding: "utf8" });
    assert.equal(installed.status, 0, installed.stderr);
    const found = readdirSync(join(cwd, "node_modules/session-router")).sort();
    assert.deepEqual(found.filter((name) => name !== "LICENSE"), ["README.md", "dist", "package.json"]);

    copyFileSync(EXAMPLE, join(cwd, "agent.mjs"));
    const env = { ...process.env, SESSION_ROUTER_URL: service.url };
    const agent = spawn(process.execPath, ["agent.mjs"], { cwd, env });
    let told = "";
    agent.stdout.on("data", (text: Buffer) => (told += text.toString()));
    const ended = new Promise((resolve) => agent.once("exit", resolve));
    await eventually(() => told.startsWith("It was"));
    assert.match(service.run("sessions", "interrupt", "node-1"), /writer\/ann\tdelivered/);
    assert.equal(await ended, 0);
    assert.match(told, /^It was .*\ninterrupted\n$/);
  } finally {
    await service.stop();
  }
});
