import assert from "node:assert/strict";
import { test } from "node:test";

import { Service } from "./service.js";
import { hanging } from "./sources.js";

const STOPS = 100;

test("how long a stop takes, from the call to the receipt", async (context) => {
  const service = await Service.start();
  const router = service.client();
  const worker = await service.client().worker();
  const took: number[] = [];
  try {
    for (let round = 0; round < STOPS; round += 1) {
      const stream = worker.stream("stop", "writer/ann", hanging);
      await stream.next();
      const begun = performance.now();
      const stopped = await router.interrupt("stop", { wait: 10 });
      took.push(performance.now() - begun);
      assert.deepEqual(stopped?.outcomes, { "writer/ann": "delivered" });
      assert.deepEqual(await stream.next(), { done: true, value: undefined });
    }
  } finally {
    await worker.close();
    await service.stop();
  }
  took.sort((a, b) => a - b);
  const [median, slow] = [0.5, 0.99].map((share) => took[Math.ceil(STOPS * share) - 1]?.toFixed(1));
  context.diagnostic(`${STOPS} stops: median ${median} ms, 99th percentile ${slow} ms`);
});
