/** `session-router serve` in a process of its own, on a database of its own. */
import { spawn, spawnSync, type ChildProcess } from "node:child_process";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";

import { SessionRouter } from "session-router";

const PYTHON = process.env["SESSION_ROUTER_PYTHON"] ?? "python3";

/** A lease that tests can wait for: three heartbeats, as long as settings allow. */
const SHORT_LEASE = {
  SESSION_ROUTER_HEARTBEAT_INTERVAL_SEC: "0.4",
  SESSION_ROUTER_LEASE_SEC: "2",
  SESSION_ROUTER_OPERATION_DEADLINE_SEC: "1.5",
};

export class Service {
  readonly folder = mkdtempSync(join(tmpdir(), "session-router-"));
  readonly #log = join(this.folder, "log");
  readonly #env: NodeJS.ProcessEnv;
  #process: ChildProcess | undefined;
  #port = "0";
  url = "";

  private constructor(settings: Record<string, string>) {
    const inherited = Object.entries(process.env).filter(([name]) => !/^SESSION_ROUTER_/.test(name));
    const ours = { SESSION_ROUTER_DRAIN_SEC: "0", ...settings };
    this.#env = { ...Object.fromEntries(inherited), ...ours };
  }

  /** Start one; `stop()` it in the end. */
  static async start(settings: Record<string, string> = {}): Promise<Service> {
    const service = new Service(settings);
    await service.begin();
    return service;
  }

  /** One whose workers are lost 2 s after their last heartbeat. */
  static withShortLease(): Promise<Service> {
    return Service.start(SHORT_LEASE);
  }

  /** Serve, at the same address as before. */
  async begin(): Promise<void> {
    const args = ["-m", "session_router", "serve", "--port", this.#port];
    const log = openSync(this.#log, "a");
    const stdio: ["ignore", "pipe", number] = ["ignore", "pipe", log];
    // The default file, which is made by itself, in a folder of its own.
    const child = spawn(PYTHON, args, { cwd: this.folder, env: this.#env, stdio });
    closeSync(log);
    this.#process = child;
    for await (const line of createInterface(child.stdout as Readable)) {
      const told = /^Serving on (http:\S+:(\d+))/.exec(line);
      if (told === null) continue;
      [, this.url, this.#port] = told as unknown as [string, string, string];
      return;
    }
    throw new Error(`the service did not begin: ${readFileSync(this.#log, "utf8")}`);
  }

  /** End it as an operator does; returns when it has ended. */
  async end(signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
    const child = this.#process;
    if (child === undefined || child.exitCode !== null) return;
    const ended = new Promise((resolve) => child.once("exit", resolve));
    child.kill(signal);
    await ended;
  }

  async stop(): Promise<void> {
    await this.end("SIGKILL");
    rmSync(this.folder, { recursive: true });
  }

  /** The command line, on this service's database. */
  run(...args: string[]): string {
    const options = { cwd: this.folder, env: this.#env, encoding: "utf8" as const };
    const done = spawnSync(PYTHON, ["-m", "session_router", ...args], options);
    if (done.status !== 0) throw new Error(`${args.join(" ")}: ${done.stdout}${done.stderr}`);
    return done.stdout;
  }

  /** A client of it. */
  client(key?: string): SessionRouter {
    return new SessionRouter({ baseUrl: this.url, key });
  }
}
