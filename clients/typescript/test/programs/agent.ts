/** An agent that streams again and again in one session, and tells what happens, a line each. */
import { SessionRouter } from "session-router";

import { ticking } from "../sources.js";

const [baseUrl = "", sessionId = ""] = process.argv.slice(2);
const tell = (what: object): void => void process.stdout.write(`${JSON.stringify(what)}\n`);

const router = new SessionRouter({ baseUrl });
const onError = (error: unknown, what: string): void => tell({ what, error: String(error) });
const worker = await router.worker({ host: "test", onError });
process.on("SIGTERM", () => void worker.close());
for (let isStopped = false; !isStopped; ) {
  const stream = worker.stream(sessionId, "writer/ann", ticking());
  try {
    for await (const number of stream) {
      if (number === 1) tell({ begun: stream.streamId, in: worker.workerId });
    }
    tell({ ended: stream.streamId, outcome: stream.outcome });
  } catch (error) {
    tell({ refused: String(error) });
    isStopped = true;
  }
}
