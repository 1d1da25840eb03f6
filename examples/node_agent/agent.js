/**
 * An agent that streams words in the session `node-1` until somebody stops it, or Ctrl-C does.
 *
 * `make agent` runs it, beside the service of `make run`.
 */
import { hostname } from "node:os";
import { setTimeout } from "node:timers/promises";

import { SessionRouter } from "session-router";

const TEXT = "It was the best of times, it was the worst of times, it was the age of wisdom,";

/** In an agent of yours, hand `signal` to the model's client, or to `fetch`. */
async function* words(signal) {
  for (;;) {
    for (const word of TEXT.split(" ")) {
      yield word;
      await setTimeout(200, undefined, { signal });
    }
  }
}

const router = new SessionRouter({
  baseUrl: process.env.SESSION_ROUTER_URL ?? "http://127.0.0.1:8080",
  key: process.env.SESSION_ROUTER_KEY,
});
const leave = new AbortController();
process.once("SIGINT", () => leave.abort());

const worker = await router.worker({ host: hostname() });
const stream = worker.stream("node-1", "writer/ann", words, { signal: leave.signal });
for await (const word of stream) process.stdout.write(`${word} `);
console.log(`\n${stream.outcome}`);
await worker.close();
