import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, before, describe, it } from "node:test";

import type { AgentStream, AgentWorker, SessionRouter } from "session-router";

import { Service } from "./service.js";
import { deaf, hanging, ticking } from "./sources.js";
import { eventually, outcomes, receipts } from "./waiting.js";

const DELIVERED = { "writer/ann": "delivered" };

describe("a stop from another client", () => {
  let service: Service;
  let other: SessionRouter;
  let worker: AgentWorker;

  before(async () => {
    service = await Service.start();
    other = service.client();
    worker = await service.client().worker({ cancelTimeoutMs: 400 });
  });
  after(async () => {
    await worker.close();
    await service.stop();
  });

  it("ends the loop while the source hangs, and is delivered", async () => {
    let fired = false;
    const stream = worker.stream("hangs", "writer/ann", (signal) => {
      signal.addEventListener("abort", () => (fired = true));
      return hanging(signal);
    });
    await stream.next();
    const loop = rest(stream);
    const stopped = await other.interrupt("hangs", { actor: "bob", wait: 10 });
    assert.deepEqual(stopped?.outcomes, DELIVERED);
    assert.deepEqual([await loop, stream.outcome, fired], [[], "interrupted", true]);
    assert.deepEqual(await outcomes(other, "hangs"), ["interrupted"]);
    const counted = await other.receipts(stopped?.request_id ?? "");
    assert.deepEqual([counted?.delivered, counted?.open], [1, 0]);
  });

  it("ends the loop while items flow, and closes the source", async () => {
    const stream = worker.stream("flows", "writer/ann", ticking());
    const loop = rest(stream);
    await eventually(async () => (await other.showSession("flows"))?.agents_streaming.length);
    const stopped = await other.interrupt("flows", { wait: 10 });
    assert.deepEqual(stopped?.outcomes, DELIVERED);
    await loop;
    assert.equal(stream.outcome, "interrupted");
  });

  it("has failed where the source does not close in time; the loop ends at once", async () => {
    const stream = worker.stream("deaf", "writer/ann", deaf());
    await stream.next();
    const loop = rest(stream);
    const stopped = await other.interrupt("deaf", { wait: 10 });
    assert.deepEqual(stopped?.outcomes, { "writer/ann": "failed" });
    assert.deepEqual([await loop, stream.outcome], [[], "interrupted"]);
    const counted = await other.receipts(stopped?.request_id ?? "");
    assert.equal(counted?.undelivered[0]?.detail, "the source did not close within 0.4 s");
  });

  it("has failed where closing the source throws", async () => {
    const source: AsyncIterable<string> = {
      [Symbol.asyncIterator]: () => ({
        next: () => Promise.resolve({ done: false, value: "one" }),
        return: () => Promise.reject(new Error("stuck")),
      }),
    };
    const stream = worker.stream("stuck", "writer/ann", source);
    await stream.next();
    const stopped = await other.interrupt("stuck", { wait: 10 });
    const counted = await other.receipts(stopped?.request_id ?? "");
    assert.equal(counted?.undelivered[0]?.detail, "closing the source raised Error: stuck");
    assert.deepEqual([await rest(stream), stream.outcome], [[], "interrupted"]);
  });

  it("reaches a stream whose source is still being opened, and closes what opens", async () => {
    let returned = false;
    const stream = worker.stream("opening", "writer/ann", async (signal) => {
      await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
      const late = hanging(signal);
      late.return = () => Promise.resolve({ done: true, value: void (returned = true) });
      return late;
    });
    const loop = rest(stream);
    await eventually(async () => (await other.showSession("opening"))?.agents_streaming.length);
    const stopped = await other.interrupt("opening", { wait: 10 });
    assert.deepEqual(stopped?.outcomes, DELIVERED);
    assert.deepEqual([await loop, returned], [[], true]);
  });

  it("comes before its stream, which then begins nothing", async () => {
    const streamId = randomUUID();
    const ahead = await other.interruptStream("ahead", streamId, { actor: "bob" });
    assert.equal(ahead.found, "ahead");
    const source = (): never => assert.fail("it was opened");
    const stream = worker.stream("ahead", "writer/ann", source, { streamId });
    await stream.start();
    assert.deepEqual([await rest(stream), stream.outcome], [[], "interrupted"]);
    assert.deepEqual(await receipts(other, "ahead"), ["delivered"]);
  });

  it("hits exactly the stream that it names", async () => {
    const [one, two] = ["writer/ann", "critic/bob"].map((agent) => worker.stream("two", agent, hanging));
    assert.ok(one && two);
    await Promise.all([one.next(), two.next()]);
    const stopped = await other.interruptStream("two", one.streamId, { wait: 10 });
    assert.deepEqual([stopped.found, stopped.outcome], ["live", "delivered"]);
    assert.deepEqual([await rest(one), two.outcome], [[], undefined]);
    await two.return();
  });

  it("comes with the end of the session", async () => {
    const stream = worker.stream("ended", "writer/ann", hanging);
    await stream.next();
    const loop = rest(stream);
    assert.equal(await other.endSession("ended"), true);
    assert.deepEqual([await loop, stream.outcome], [[], "interrupted"]);
    assert.deepEqual(await outcomes(other, "ended"), ["session_ended"]);
    await eventually(async () => (await receipts(other, "ended"))[0] === "delivered");
  });

  it("reaches sixty streams at once", async () => {
    const streams = Array.from({ length: 60 }, (_, number) =>
      worker.stream(`many-${number}`, "crowd/ann", hanging),
    );
    await Promise.all(streams.map((stream) => stream.next()));
    const { request_id, streams: told } = await other.interruptAll({ agentType: "crowd" });
    assert.equal(told, 60);
    await Promise.all(streams.map(rest));
    const counted = await eventually(async () => {
      const now = await other.receipts(request_id);
      return now?.open === 0 && now;
    });
    assert.deepEqual([counted.delivered, counted.failed, counted.lost], [60, 0, 0]);
  });

  it("that meets the end of the source leaves one story", async () => {
    for (let round = 0; round < 20; round += 1) {
      const id = `meets-${round}`;
      const stream = worker.stream(id, "writer/ann", brief(round));
      const loop = rest(stream);
      await eventually(async () => (await other.showSession(id)) !== null);
      await other.interrupt(id);
      await loop;
      const ended = await eventually(async () => (await outcomes(other, id))[0]);
      assert.ok(ended === "completed" || ended === "interrupted", ended);
      if (ended === "interrupted") {
        assert.equal(await eventually(async () => (await receipts(other, id))[0]), "delivered");
      }
    }
  });
});

async function* brief(ms: number): AsyncGenerator<string, void, void> {
  yield "one";
  await new Promise((resolve) => setTimeout(resolve, ms));
}

async function rest<T>(stream: AgentStream<T>): Promise<T[]> {
  const items: T[] = [];
  for await (const item of stream) items.push(item);
  return items;
}
