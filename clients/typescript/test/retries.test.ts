/** Against a server that answers as a service in trouble does, or a proxy in front of it. */
import assert from "node:assert/strict";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, describe, it } from "node:test";

import { NetworkError, ProblemError, SessionRouter } from "session-router";

type Answer = (response: ServerResponse, request: IncomingMessage) => void;

const problem =
  (status: number, kind: string, retryAfter?: string, more: object = {}): Answer =>
  (response) => {
    const retry = retryAfter === undefined ? {} : { "retry-after": retryAfter };
    response.writeHead(status, { "content-type": "application/problem+json", ...retry });
    const type = `urn:session-router:problem:${kind}`;
    response.end(JSON.stringify({ type, title: kind, status, detail: "no.", ...more }));
  };
const cut: Answer = (response) => response.socket?.destroy();
const session: Answer = (response) => {
  response.writeHead(200, { "content-type": "application/json" });
  response.end(JSON.stringify({ session_id: "a", agents_streaming: [] }));
};

describe("what is tried again", () => {
  let server: Server | undefined;
  let requests: string[] = [];

  /** A client of a server that gives these answers, the last one from then on. */
  async function answering(...answers: Answer[]): Promise<SessionRouter> {
    requests = [];
    server = createServer((request, response) => {
      const answer = answers[Math.min(requests.length, answers.length - 1)];
      requests.push(`${request.method} ${request.url}`);
      request.resume().on("end", () => answer?.(response, request));
    });
    await new Promise<void>((resolve) => server?.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo;
    return new SessionRouter({ baseUrl: `http://127.0.0.1:${port}` });
  }

  afterEach(() => server?.close());

  async function refusal(call: Promise<unknown>): Promise<unknown> {
    return await call.then(
      () => assert.fail("it was answered"),
      (error: unknown) => error,
    );
  }

  it("is a read that was not answered, or refused for now", async () => {
    const router = await answering(cut, problem(503, "overloaded", "0"), session);
    assert.equal((await router.showSession("a"))?.session_id, "a");
    assert.equal(requests.length, 3);
  });

  it("is a change that was refused before anything was written", async () => {
    const router = await answering(problem(503, "overloaded", "0"), session);
    await router.startNewSession("a");
    assert.deepEqual(requests, ["POST /sessions", "POST /sessions"]);
  });

  it("is a change of which the service is certain that it was not made", async () => {
    const certain = { nothing_written: true };
    const router = await answering(problem(503, "database-unavailable", "0", certain), session);
    await router.startNewSession("a");
    assert.equal(requests.length, 2);
  });

  it("is a change that may have been made, where making it twice is the same", async () => {
    const router = await answering(problem(503, "database-unavailable", "0"), session);
    await router.startSession("a");
    assert.equal(requests.length, 2);
  });

  it("is no change that may have been made, where that makes a difference", async () => {
    const away = await answering(problem(503, "database-unavailable", "0"), session);
    const error = await refusal(away.startNewSession("a"));
    assert.ok(error instanceof ProblemError && error.retryAfter === 0);
    assert.equal(requests.length, 1);
    server?.close();
    const broken = await answering(cut, session);
    const lost = await refusal(broken.interrupt("a"));
    assert.ok(lost instanceof NetworkError && !lost.notSent);
    assert.equal(requests.length, 1);
  });

  it("is nothing that another try cannot mend, or that is to wait for long", async () => {
    for (const answer of [problem(503, "wrong-schema"), problem(503, "overloaded", "3600"),
      problem(500, "internal-error"), problem(504, "deadline-exceeded")]) {
      const router = await answering(answer);
      await refusal(router.showSession("a"));
      assert.equal(requests.length, 1);
      server?.close();
    }
  });

  it("is tried four times at the most", async () => {
    const router = await answering(problem(503, "contention", "0"));
    const error = await refusal(router.showSession("a"));
    assert.ok(error instanceof ProblemError && error.kind === "contention");
    assert.equal(requests.length, 4);
  });

  it("is never sent to another address than the one that was given", async () => {
    const router = await answering((response, request) => {
      response.writeHead(307, { location: `http://127.0.0.1:9${request.url}` }).end();
    });
    const error = await refusal(router.startNewSession("a"));
    assert.ok(error instanceof NetworkError);
    assert.equal(requests.length, 1);
  });

  it("shows what a proxy says as it came", async () => {
    const router = await answering((response) => {
      response.writeHead(502, "Bad Gateway", { "content-type": "text/html" }).end("<p>gone</p>");
    });
    const error = await refusal(router.startSession("a"));
    assert.ok(error instanceof ProblemError);
    assert.deepEqual(
      [error.type, error.status, error.title, error.detail],
      ["about:blank", 502, "Bad Gateway", "<p>gone</p>"],
    );
  });
});
