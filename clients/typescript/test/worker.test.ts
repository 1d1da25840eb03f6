import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

import {
  ClosedError,
  InvalidValueError,
  SessionBusyError,
  StreamExistsError,
  type AgentStream,
  type AgentWorker,
  type SessionRouter,
} from "session-router";

import { Service } from "./service.js";
import { failing, hanging, ticking, words } from "./sources.js";
import { eventually, outcomes, receipts, trail } from "./waiting.js";

describe("a worker's streams", () => {
  let service: Service;
  let router: SessionRouter;
  let worker: AgentWorker;

  before(async () => {
    service = await Service.start({ SESSION_ROUTER_TOUCH_RESOLUTION_SEC: "0" });
    router = service.client();
    worker = await router.worker({ host: "box", cancelTimeoutMs: 3_000 });
  });
  after(async () => {
    await worker.close();
    await service.stop();
  });

  it("give the items of their source, and are completed", async () => {
    const stream = worker.stream("whole", "writer/a/b ä", words(["one", "two"]));
    assert.deepEqual(await all(stream), ["one", "two"]);
    assert.equal(stream.outcome, "completed");
    assert.deepEqual(await outcomes(router, "whole"), ["completed"]);
    const begun = (await trail(router, "whole")).find((each) => each.event === "stream_started");
    assert.deepEqual(
      [begun?.agent_type, begun?.agent_key, begun?.stream_id, begun?.worker_id],
      ["writer", "a/b ä", stream.streamId, worker.workerId],
    );
    assert.deepEqual(await stream.next(), { done: true, value: undefined });
  });

  it("throw what their source throws, and have failed", async () => {
    const stream = worker.stream("fails", "writer/ann", failing);
    const seen: string[] = [];
    await assert.rejects(async () => {
      for await (const word of stream) seen.push(word);
    }, TypeError);
    assert.deepEqual([seen, stream.outcome], [["one"], "failed"]);
    assert.deepEqual(await outcomes(router, "fails"), ["failed"]);
    const ended = (await trail(router, "fails")).find((each) => each.event === "stream_finished");
    assert.equal(ended?.detail, "TypeError: no more words");
  });

  it("have failed where their source cannot be opened", async () => {
    const open = (): never => assert.fail("no such model");
    const stream = worker.stream("unopened", "writer/ann", open);
    await assert.rejects(all(stream), /no such model/);
    assert.deepEqual(await outcomes(router, "unopened"), ["failed"]);
  });

  it("are abandoned by a break, and their source is closed", async () => {
    let closed = false;
    const stream = worker.stream("left", "writer/ann", words(["one", "two"], () => (closed = true)));
    for await (const word of stream) if (word === "one") break;
    assert.equal(stream.outcome, "abandoned");
    assert.ok(closed);
    assert.deepEqual(await outcomes(router, "left"), ["abandoned"]);
  });

  it("are abandoned when their signal fires, without an error, even while the source hangs", async () => {
    const leave = new AbortController();
    const stream = worker.stream("gone", "writer/ann", hanging, { signal: leave.signal });
    const seen: string[] = [];
    for await (const word of stream) {
      seen.push(word);
      setTimeout(() => leave.abort(), 10);
    }
    assert.deepEqual([seen, stream.outcome], [["one"], "abandoned"]);
    await eventually(async () => (await outcomes(router, "gone"))[0] === "abandoned");
    const unborn = worker.stream("gone", "writer/bob", hanging, { signal: leave.signal });
    assert.deepEqual([await all(unborn), unborn.outcome], [[], "abandoned"]);
  });

  it("are open to one consumer, and to names written type/key", async () => {
    assert.throws(() => worker.stream("a", "writer", ticking()), InvalidValueError);
    const stream = worker.stream("one", "writer/ann", hanging);
    const first = stream.next();
    await assert.rejects(stream.next(), ClosedError);
    assert.equal((await first).value, "one");
    await stream.return();
  });

  it("can be begun before the first item is asked for", async () => {
    let opened = false;
    const stream = worker.stream("early", "writer/ann", () => {
      opened = true;
      return words(["one"]);
    });
    await stream.start();
    await stream.start();
    assert.deepEqual((await router.showSession("early"))?.agents_streaming, ["writer/ann"]);
    assert.equal(opened, false);
    assert.deepEqual(await all(stream), ["one"]);
  });

  it("keep their session touched while items flow", async () => {
    const eager = await router.worker({ sessionTimeoutMs: 40 });
    const begun = await router.startSession("alive");
    const stream = eager.stream("alive", "writer/ann", ticking());
    await stream.start();
    const registered = (await router.showSession("alive"))?.last_updated ?? "";
    assert.ok(registered >= begun.last_updated);
    for await (const number of stream) {
      if (number % 20 !== 0) continue;
      const { last_updated } = (await router.showSession("alive")) ?? begun;
      if (last_updated > registered) break;
      assert.ok(number < 2_000, "it was not touched");
    }
    await eager.close();
  });

  it("take over from the same agent, in the same worker too", async () => {
    const older = worker.stream("taken", "writer/ann", hanging);
    await older.next();
    const newer = worker.stream("taken", "writer/ann", words(["new"]));
    const rest = all(older);
    assert.deepEqual(await all(newer), ["new"]);
    assert.deepEqual([await rest, older.outcome], [[], "interrupted"]);
    assert.deepEqual(await outcomes(router, "taken"), ["superseded", "completed"]);
    await eventually(async () => (await receipts(router, "taken"))[0] === "delivered");
  });

  it("are refused where others are in the way, if they ask for that", async () => {
    const first = worker.stream("busy", "writer/ann", hanging);
    await first.next();
    const second = worker.stream("busy", "critic/bob", hanging, { whenBusy: "refuse", alone: true });
    const error = await all(second).catch((thrown: unknown) => thrown);
    assert.ok(error instanceof SessionBusyError);
    assert.deepEqual(error.streams.map((each) => each.agent_id), ["writer/ann"]);
    assert.equal(second.outcome, "failed");
    const third = worker.stream("busy", "writer/ann", words(["a"]), { whenBusy: "interrupt" });
    assert.deepEqual(await all(third), ["a"]);
    assert.equal(first.outcome, "interrupted");
    const name = { streamId: third.streamId };
    await assert.rejects(all(worker.stream("busy", "writer/ann", hanging, name)), StreamExistsError);
  });

  it("end with their worker, which takes no more", async () => {
    const other = await router.worker();
    const stream = other.stream("closed", "writer/ann", hanging);
    await stream.next();
    const rest = all(stream);
    collectGarbage(); // Node's `fetch` forgets its signal then
    await Promise.all([other.close(), other.close()]);
    assert.deepEqual([await rest, stream.outcome], [[], "interrupted"]);
    assert.deepEqual(await outcomes(router, "closed"), ["worker_stopped"]);
    assert.equal(other.workerId, undefined);
    await assert.rejects(all(other.stream("closed", "writer/ann", hanging)), ClosedError);
  });
});

function collectGarbage(): void {
  setFlagsFromString("--expose-gc");
  (runInNewContext("gc") as () => void)();
}

async function all<T>(stream: AgentStream<T>): Promise<T[]> {
  const items: T[] = [];
  for await (const item of stream) items.push(item);
  return items;
}
