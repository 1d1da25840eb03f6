import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";

import {
  InvalidValueError,
  NetworkError,
  NotFoundError,
  ProblemError,
  SessionRouter,
  UnauthenticatedError,
  ForbiddenError,
} from "session-router";

import { Service } from "./service.js";
import { trail } from "./waiting.js";

const NOWHERE = "01980b0c-7c1e-7d55-a0d5-4c5d7a0c1d5e";

describe("the client", () => {
  let service: Service;
  let router: SessionRouter;

  before(async () => {
    service = await Service.start();
    router = service.client();
  });
  after(() => service.stop());

  it("starts, touches, reads and ends a session", async () => {
    const id = "a/b c%2F?#ä😀\n";
    const begun = await router.startSession(id);
    assert.equal(begun.session_id, id);
    assert.deepEqual(begun.agents_streaming, []);
    const touched = await router.getSession(id);
    assert.ok(touched !== null && touched.last_updated >= begun.last_updated);
    assert.equal((await router.showSession(id))?.start_time, begun.start_time);
    assert.equal(await router.endSession(id, { actor: "ann", reason: "done" }), true);
    const last = (await trail(router, id)).at(-1);
    assert.deepEqual([last?.event, last?.actor, last?.detail], ["session_ended", "ann", "done"]);
  });

  it("says null, or false, of a session that does not live", async () => {
    assert.equal(await router.getSession("nobody"), null);
    assert.equal(await router.showSession("nobody"), null);
    assert.equal(await router.interrupt("nobody"), null);
    assert.equal(await router.endSession("nobody"), false);
    assert.equal(await router.receipts(NOWHERE), null);
    assert.deepEqual(await trail(router, "nobody"), []);
  });

  it("begins a fresh session, with an id of its own or with one that is given", async () => {
    const made = await router.startNewSession();
    assert.notEqual(made.session_id, "");
    const first = await router.startNewSession("fresh");
    const second = await router.startNewSession("fresh");
    assert.ok(second.start_time > first.start_time);
  });

  it("lists sessions a page at a time, narrowed down", async () => {
    for (let number = 0; number < 5; number += 1) await router.startSession(`list-${number}`);
    const pages: string[][] = [];
    for await (const page of router.listSessions({ prefix: "list-", limit: 2, streaming: false })) {
      pages.push(page.items.map((each) => each.session_id));
    }
    assert.deepEqual(pages, [["list-0", "list-1"], ["list-2", "list-3"], ["list-4"]]);
  });

  it("reads the trail a page at a time, from where it was read to", async () => {
    await router.startSession("read");
    await router.interrupt("read");
    await router.endSession("read");
    const pages = [];
    for await (const page of router.events("read", { limit: 2 })) pages.push(page);
    assert.deepEqual(pages.map((page) => page.items.length), [2, 1]);
    const seen = pages[0]?.items.at(-1)?.event_id ?? 0;
    for await (const page of router.events("read", { after: seen })) {
      assert.deepEqual(page.items, pages[1]?.items);
    }
  });

  it("interrupts a session of nobody, and stops a stream before it begins", async () => {
    await router.startSession("quiet");
    const stopped = await router.interrupt("quiet", { agents: ["writer/ann"], wait: 1 });
    assert.deepEqual(stopped?.interrupted, []);
    const ahead = await router.interruptStream("quiet", NOWHERE, { actor: "bob" });
    assert.equal(ahead.found, "ahead");
    const all = await router.interruptAll({ agentType: "nothing", dryRun: true });
    assert.deepEqual([all.streams, all.dry_run], [0, true]);
  });

  it("tells a problem by its class, kind, status and detail", async () => {
    const error = await refusal(router.interrupt("quiet", { wait: 10_000 }));
    assert.ok(error instanceof ProblemError && !(error instanceof NotFoundError));
    assert.equal(error.kind, "invalid-request");
    assert.equal(error.type, "urn:session-router:problem:invalid-request");
    assert.equal(error.status, 422);
    assert.match(error.detail, /body\.wait/);
    assert.match(error.requestId ?? "", /./);
    assert.equal(error.name, "ProblemError");
  });

  it("refuses by itself what no URL can carry", async () => {
    for (const id of ["", ".", "..", "\ud800"]) {
      const error = await refusal(router.startSession(id));
      assert.ok(error instanceof InvalidValueError, id);
    }
    for (const baseUrl of ["nowhere", "ftp://a", "http://a/?b=c", "http://user:secret@a"]) {
      assert.throws(() => new SessionRouter({ baseUrl }), InvalidValueError);
    }
  });

  it("does not take a wrong address for a session that does not live", async () => {
    const elsewhere = new SessionRouter({ baseUrl: `${service.url}/elsewhere/` });
    const error = await refusal(elsewhere.showSession("nobody"));
    assert.ok(error instanceof NotFoundError && error.kind === "path-not-found");
  });

  it("tells apart that nobody answers", async () => {
    const gone = await Service.start();
    const nobody = gone.client();
    await gone.stop();
    const error = await refusal(nobody.startNewSession("x"));
    assert.ok(error instanceof NetworkError && error.notSent);
    assert.match(error.message, /POST \/sessions was not answered/);
  });

  it("sends the key, once the service asks for one", async () => {
    const keys = await Service.start();
    try {
      const told = keys.run("keys", "create", "reader", "--scope", "read");
      const key = /sr_\S+/.exec(told)?.[0] ?? "";
      assert.equal(await keys.client(key).showSession("nobody"), null);
      const denied = await refusal(keys.client(key).startSession("nobody"));
      assert.ok(denied instanceof ForbiddenError && denied.status === 403);
      const unknown = await refusal(keys.client("sr_000000000000_x").showSession("nobody"));
      assert.ok(unknown instanceof UnauthenticatedError);
    } finally {
      await keys.stop();
    }
  });
});

async function refusal(call: Promise<unknown>): Promise<unknown> {
  return await call.then(
    (answer) => assert.fail(`answered ${JSON.stringify(answer)}`),
    (error: unknown) => error,
  );
}
