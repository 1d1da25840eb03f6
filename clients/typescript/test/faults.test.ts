import assert from "node:assert/strict";
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { after, before, describe, it } from "node:test";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

import type { AgentWorker, SessionRouter } from "session-router";

import { Service } from "./service.js";
import { hanging } from "./sources.js";
import { eventually, outcomes, receipts, trail } from "./waiting.js";

const AGENT = fileURLToPath(new URL("programs/agent.js", import.meta.url));

interface Told {
  begun?: string;
  in?: string;
  ended?: string;
  outcome?: string;
  refused?: string;
}

/** `programs/agent.js`, in a process of its own. */
class Agent {
  readonly told: Told[] = [];
  readonly #process: ChildProcess;

  constructor(service: Service, sessionId: string) {
    const stdio: ["ignore", "pipe", "inherit"] = ["ignore", "pipe", "inherit"];
    const child = spawn(process.execPath, [AGENT, service.url, sessionId], { stdio });
    createInterface(child.stdout).on("line", (line) => this.told.push(JSON.parse(line) as Told));
    this.#process = child;
  }

  kill(signal: NodeJS.Signals): void {
    this.#process.kill(signal);
  }

  /** What it told of its stream of that number, when that has begun. */
  begun(number: number): Promise<Told> {
    return eventually(() => this.told.filter((each) => each.begun)[number - 1]);
  }

  async exitCode(): Promise<number | null> {
    if (this.#process.exitCode === null) await once(this.#process, "exit");
    return this.#process.exitCode;
  }
}

describe("a worker in trouble", () => {
  let service: Service;
  let router: SessionRouter;
  const agents: Agent[] = [];

  function agentIn(sessionId: string): Agent {
    const agent = new Agent(service, sessionId);
    agents.push(agent);
    return agent;
  }

  before(async () => {
    service = await Service.withShortLease();
    router = service.client();
  });
  after(async () => {
    for (const agent of agents) agent.kill("SIGKILL");
    await service.stop();
  });

  it("is taken out when it was killed", async () => {
    const agent = agentIn("killed");
    await agent.begun(1);
    agent.kill("SIGKILL");
    await eventually(async () => (await outcomes(router, "killed"))[0] === "worker_lost");
    assert.deepEqual((await router.showSession("killed"))?.agents_streaming, []);
  });

  it("begins anew after a pause that outlasted its lease, and can write nothing of before", async () => {
    const agent = agentIn("paused");
    const first = await agent.begun(1);
    agent.kill("SIGSTOP");
    await router.interrupt("paused");
    await eventually(async () => (await receipts(router, "paused"))[0] === "lost");
    agent.kill("SIGCONT");
    const second = await agent.begun(2);
    assert.notEqual(second.in, first.in);
    assert.equal(agent.told.find((each) => each.ended === first.begun)?.outcome, "interrupted");
    const stopped = await router.interrupt("paused", { wait: 10 });
    assert.deepEqual(stopped?.outcomes, { "writer/ann": "delivered" });
    assert.deepEqual(await receipts(router, "paused"), ["lost", "delivered"]);
  });

  it("whose lease ran out while it streamed learns that its stream is lost", async () => {
    const agent = agentIn("late");
    const first = await agent.begun(1);
    agent.kill("SIGSTOP");
    await eventually(async () => (await outcomes(router, "late"))[0] === "worker_lost");
    const events = await trail(router, "late");
    for (const [method, path, body] of late(first)) {
      const headers = { "content-type": "application/json" };
      const answer = await fetch(`${service.url}${path}`, { method, headers, body });
      assert.equal(answer.status, 410, path);
    }
    assert.deepEqual(await trail(router, "late"), events);
    agent.kill("SIGCONT");
    await agent.begun(2);
    assert.equal(agent.told.find((each) => each.ended === first.begun)?.outcome, "interrupted");
    assert.deepEqual(await outcomes(router, "late"), ["worker_lost"]);
  });

  it("that was told to close ends by itself", async () => {
    const agent = agentIn("closed");
    await agent.begun(1);
    agent.kill("SIGTERM");
    assert.equal(await agent.exitCode(), 0);
    assert.deepEqual(await outcomes(router, "closed"), ["worker_stopped"]);
    assert.match(agent.told.at(-1)?.refused ?? "", /ClosedError/);
  });
});

/** What a worker would still send of a stream. */
function* late({ in: worker, begun }: Told): Generator<[string, string, string | null]> {
  const item = { signal_id: begun, outcome: "delivered", detail: null };
  const agent = "/sessions/late/agents/writer/ann";
  yield ["DELETE", `${agent}?stream_id=${begun}&worker_id=${worker}`, null];
  yield ["POST", `/workers/${worker}/settlements`, JSON.stringify({ items: [item] })];
  yield ["POST", `/workers/${worker}/heartbeat`, null];
  yield ["PUT", agent, JSON.stringify({ worker_id: worker })];
}

describe("a worker whose service is restarted", () => {
  let service: Service;
  let router: SessionRouter;
  let worker: AgentWorker;

  before(async () => {
    service = await Service.start();
    router = service.client();
    worker = await router.worker({ onError: () => undefined });
  });
  after(async () => {
    await worker.close();
    await service.stop();
  });

  for (const order of ["SIGTERM", "SIGKILL"] as const) {
    it(`by ${order} goes on, and is stopped by what was asked for meanwhile`, async () => {
      const entered = worker.workerId;
      const stream = worker.stream(order, "writer/ann", hanging);
      const ended = worker.stream(`${order}-ended`, "writer/ann", hanging);
      await Promise.all([stream.next(), ended.next()]);
      await service.end(order);
      const left = ended.return();
      service.run("sessions", "interrupt", order, "--wait", "0");
      await service.begin();
      assert.deepEqual(await stream.next(), { done: true, value: undefined });
      assert.equal(stream.outcome, "interrupted");
      await eventually(async () => (await receipts(router, order))[0] === "delivered");
      await left;
      await eventually(async () => (await outcomes(router, `${order}-ended`))[0] === "abandoned");
      assert.equal(worker.workerId, entered);
    });
  }

  it("enters again with the next stream, when somebody stopped it", async () => {
    const entered = worker.workerId;
    const stream = worker.stream("stopped", "writer/ann", hanging);
    await stream.next();
    await fetch(`${service.url}/workers/${entered}`, { method: "DELETE" });
    assert.deepEqual(await stream.next(), { done: true, value: undefined });
    assert.equal(stream.outcome, "interrupted");
    const next = worker.stream("stopped", "writer/ann", hanging);
    await next.next();
    assert.notEqual(worker.workerId, entered);
    await next.return();
    assert.deepEqual(await outcomes(router, "stopped"), ["worker_stopped", "abandoned"]);
  });
});

