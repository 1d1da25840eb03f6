import { pauseMs, sleep, unref } from "./backoff.js";
import { NetworkError, NotFoundError, ProblemError, WorkerGoneError } from "./errors.js";
import type { Http } from "./http.js";
import { LocalStreams } from "./local-streams.js";
import type { components } from "./openapi.js";
import { Settlements } from "./settlements.js";
import { readSignals, type Signal } from "./signals.js";
import type { Ending, Home, Registration } from "./stream.js";

/** Told of what failed in the background; it is tried again. */
export type OnError = (error: unknown, what: string) => void;

type Entered = components["schemas"]["WorkerEntered"];

/** One stay of a worker in the service, from its entry to the loss of its lease or its leaving. */
export class Incarnation implements Home {
  readonly workerId: string;
  readonly streams = new LocalStreams();
  readonly #http: Http;
  readonly #entered: Entered;
  readonly #onError: OnError;
  readonly #over = new AbortController();
  readonly #settlements: Settlements;
  readonly #obeyed = new Set<string>();
  readonly #errands = new Set<Promise<void>>();
  readonly #reading: Promise<void>;
  #heartbeat: ReturnType<typeof setTimeout> | undefined;

  static async enter(http: Http, host: string | undefined, onError: OnError): Promise<Incarnation> {
    const node = (globalThis as { process?: { pid?: number } }).process;
    const body: components["schemas"]["NewWorker"] = {};
    if (host !== undefined) body.host = host;
    if (node?.pid !== undefined) body.pid = node.pid;
    const entered = await http.json<Entered>({ method: "POST", path: ["workers"], body });
    return new Incarnation(http, entered, onError);
  }

  private constructor(http: Http, entered: Entered, onError: OnError) {
    this.workerId = entered.worker_id;
    this.#http = http;
    this.#entered = entered;
    this.#onError = onError;
    this.#settlements = new Settlements(http, entered.worker_id, (error, isLast) =>
      this.#mayGoOn(error, isLast ? "a signal cannot be settled" : "settling signals"),
    );
    this.#beatIn(entered.heartbeat_interval_sec * 1_000, 0);
    this.#reading = readSignals(http, this.workerId, this.#listener, this.#over.signal);
  }

  /** Whether it has lost its lease, or has left. */
  get isOver(): boolean {
    return this.#over.signal.aborted;
  }

  /** Register a stream of this worker. */
  async register(asked: Registration): Promise<void> {
    const body: components["schemas"]["Registration"] = {
      worker_id: this.workerId,
      stream_id: asked.streamId,
      when_busy: asked.whenBusy,
      alone: asked.alone,
    };
    try {
      await this.#http.json({ method: "PUT", path: pathOf(asked), body });
      this.streams.registered(asked.streamId);
    } catch (error) {
      if (mayBeDone(error)) {
        const detail = "its registration was not answered";
        void this.unregister(asked, { outcome: "failed", detail });
      }
      throw error;
    }
  }

  /** Resolves after the first try; it is tried until it is done, or nobody's business any more. */
  unregister(asked: Registration, { outcome, detail }: Ending): Promise<void> {
    const clipped = detail?.slice(0, 1_000);
    const query = { stream_id: asked.streamId, worker_id: this.workerId, outcome, detail: clipped };
    return new Promise((firstTried) => {
      const done = this.#until(async () => {
        const call = { path: pathOf(asked), query, repeatable: true };
        await this.#http.exchange({ method: "DELETE", ...call }).finally(firstTried);
      }, "unregistering a stream");
      this.#keep(done, "unregistering a stream");
    });
  }

  forget(streamId: string, closed: Promise<string | null>): void {
    this.streams.retire(streamId, closed);
  }

  touch(sessionId: string): void {
    const path = ["sessions", sessionId, "touch"];
    this.#keep(this.#http.exchange({ method: "POST", path, repeatable: true }), "touching a session");
  }

  /** The lease ran out: what streams here is stopped, and nothing of it can be written any more. */
  lose(): void {
    if (this.isOver) return;
    this.#stop();
    this.#keep(this.streams.stopAll(), "stopping streams");
  }

  /**
   * Stop what streams here, write what is to be written, and leave.
   *
   * @param limitMs - how long that may take before it leaves all the same.
   */
  async leave(limitMs: number): Promise<void> {
    const limit = new AbortController();
    const written = this.streams.stopAll().then(() => this.#written());
    await Promise.race([written, sleep(limitMs, limit.signal)]);
    limit.abort();
    if (this.isOver) return;
    this.#stop();
    await this.#reading;
    const path = ["workers", this.workerId];
    const left = this.#http.exchange({ method: "DELETE", path, repeatable: true });
    await left.catch((error: unknown) => {
      const isGone = error instanceof WorkerGoneError || error instanceof NotFoundError;
      if (!isGone) this.#onError(error, "leaving");
    });
  }

  readonly #listener = {
    onSignal: (signal: Signal): void => {
      if (this.#obeyed.has(signal.signal_id)) return;
      this.#obeyed.add(signal.signal_id);
      this.#keep(this.#obey(signal), "obeying a signal");
    },
    onFailure: (error: unknown): boolean => this.#mayGoOn(error, "reading signals"),
    onGone: (): void => this.lose(),
  };

  async #obey({ signal_id, stream_id }: Signal): Promise<void> {
    const fault = await this.streams.stop(stream_id);
    const outcome = fault === null ? "delivered" : "failed";
    await this.#settlements.settle({ signal_id, outcome, detail: fault });
    this.#obeyed.delete(signal_id); // settled, so it does not come again
  }

  async #written(): Promise<void> {
    while (this.#errands.size > 0) await Promise.all(this.#errands);
  }

  #beatIn(ms: number, failures: number): void {
    this.#heartbeat = setTimeout(() => this.#keep(this.#beat(failures), "a heartbeat"), ms);
    unref(this.#heartbeat);
  }

  async #beat(failures: number): Promise<void> {
    const { lease_sec, heartbeat_interval_sec } = this.#entered;
    const intervalMs = heartbeat_interval_sec * 1_000;
    const path = ["workers", this.workerId, "heartbeat"];
    try {
      const withinSec = lease_sec / 3;
      await this.#http.exchange({ method: "POST", path, withinSec, signal: this.#over.signal });
      if (!this.isOver) this.#beatIn(intervalMs, 0);
    } catch (error) {
      if (!this.#mayGoOn(error, "a heartbeat")) return;
      this.#beatIn(Math.min(intervalMs, pauseMs(failures + 1)), failures + 1);
    }
  }

  /** Look at an error; whether what met it is still to be done. */
  #mayGoOn(error: unknown, what: string): boolean {
    if (this.isOver) return false;
    if (error instanceof WorkerGoneError) {
      this.lose();
      return false;
    }
    this.#onError(error, what);
    return true;
  }

  async #until(attempt: () => Promise<void>, what: string): Promise<void> {
    for (let failures = 1; ; failures += 1) {
      try {
        return await attempt();
      } catch (error) {
        const isRefused = error instanceof ProblemError && error.status < 500;
        if (!this.#mayGoOn(error, what) || isRefused) return;
      }
      await sleep(pauseMs(failures), this.#over.signal);
    }
  }

  #stop(): void {
    clearTimeout(this.#heartbeat);
    this.#over.abort();
  }

  /** Own what runs in the background: it is waited for at the end, and its error is told. */
  #keep(work: Promise<unknown>, what: string): void {
    const errand: Promise<void> = work
      .then(() => undefined)
      .catch((error: unknown) => void this.#mayGoOn(error, what))
      .finally(() => this.#errands.delete(errand));
    this.#errands.add(errand);
  }
}

function pathOf({ sessionId, agent }: Registration): string[] {
  return ["sessions", sessionId, "agents", agent.type, agent.key];
}

function mayBeDone(error: unknown): boolean {
  if (error instanceof NetworkError) return !error.notSent;
  return error instanceof ProblemError && error.status >= 500;
}
