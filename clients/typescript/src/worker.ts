import { ClosedError, InvalidValueError, WorkerGoneError, explain } from "./errors.js";
import type { Http } from "./http.js";
import { Incarnation, type OnError } from "./incarnation.js";
import type { Source } from "./source.js";
import { AgentStream, type Home, type Host, type Registration, type Stoppable } from "./stream.js";
import { newUuid } from "./uuid.js";

const CANCEL_TIMEOUT_MS = 5_000;
const SESSION_TIMEOUT_MS = 30 * 60_000;
const ENTRIES = 3;

/** How a worker behaves. */
export interface WorkerOptions {
  /** What to call this machine in lists; left out, the address that the service sees. */
  host?: string;
  /** How long a source may take to close before its signal is settled as failed; default 5 s. */
  cancelTimeoutMs?: number;
  /** The service's session timeout; a session is touched each quarter of it while items flow. */
  sessionTimeoutMs?: number;
  /** Told of what failed in the background and is tried again; left out, `console.warn` is. */
  onError?: OnError;
}

/** How to register a stream. */
export interface StreamOptions {
  /** Its name, a UUID that was never used; left out, one is made. */
  streamId?: string;
  /** What becomes of a stream of this agent that is in the way; default `take_over`. */
  whenBusy?: "take_over" | "refuse" | "interrupt";
  /** Whether any stream of the session is in the way, not only one of this agent. */
  alone?: boolean;
  /** Ends the stream as abandoned when it fires; the loop ends, and does not throw. */
  signal?: AbortSignal;
}

/**
 * A worker: agents that stream in this process can be stopped from anywhere.
 *
 * It proves that it lives by heartbeats. Where these do not arrive for a lease, the service takes
 * it out: its streams are stopped here, and the next one begins in a new stay.
 */
export class AgentWorker {
  readonly #http: Http;
  readonly #options: WorkerOptions;
  readonly #onError: OnError;
  readonly #host: Host;
  #current: Incarnation | undefined;
  #entering: Promise<Incarnation> | undefined;
  #closing: Promise<void> | undefined;

  /** @internal Use `router.worker()`. */
  static async enter(http: Http, options: WorkerOptions): Promise<AgentWorker> {
    const worker = new AgentWorker(http, options);
    await worker.#incarnation();
    return worker;
  }

  private constructor(http: Http, options: WorkerOptions) {
    this.#http = http;
    this.#options = options;
    this.#onError = options.onError ?? warn;
    this.#host = {
      register: (asked, stream) => this.#register(asked, stream),
      touch: (sessionId) => this.#current?.touch(sessionId),
      touchEveryMs: checkMs(options.sessionTimeoutMs, SESSION_TIMEOUT_MS, "sessionTimeoutMs") / 4,
      cancelTimeoutMs: checkMs(options.cancelTimeoutMs, CANCEL_TIMEOUT_MS, "cancelTimeoutMs"),
    };
  }

  /** The name of its present stay, as in `worker_id` elsewhere; undefined between two. */
  get workerId(): string | undefined {
    return this.#current?.isOver ? undefined : this.#current?.workerId;
  }

  /**
   * Make an agent stoppable: iterate its source through this.
   *
   * When it is stopped from anywhere, the source's signal fires, its iterator gets `return()`, and
   * the loop ends, even while the source hangs.
   *
   * @param sessionId - begins to live, or is touched.
   * @param agent - `type/key`; its key may have slashes.
   * @param source - gives the items; opened when the stream is registered.
   */
  stream<T>(
    sessionId: string,
    agent: string,
    source: Source<T>,
    options: StreamOptions = {},
  ): AgentStream<T> {
    const asked: Registration = {
      sessionId,
      agent: parseAgent(agent),
      streamId: options.streamId ?? newUuid(),
      whenBusy: options.whenBusy ?? "take_over",
      alone: options.alone ?? false,
    };
    return new AgentStream(this.#host, asked, source, options.signal);
  }

  /** Stop what streams here and leave; takes about `cancelTimeoutMs` at the most. */
  close(): Promise<void> {
    return (this.#closing ??= this.#close());
  }

  async #close(): Promise<void> {
    const entering = await this.#entering?.catch(() => undefined);
    await (entering ?? this.#current)?.leave(this.#host.cancelTimeoutMs);
  }

  async #register(asked: Registration, stream: Stoppable): Promise<Home> {
    for (let entries = 1; ; entries += 1) {
      const home = await this.#incarnation();
      home.streams.add(stream);
      try {
        await home.register(asked);
        if (home.isOver) void stream.stop();
        return home;
      } catch (error) {
        home.streams.remove(asked.streamId);
        if (!(error instanceof WorkerGoneError)) throw error;
        home.lose();
        if (entries === ENTRIES) throw error;
      }
    }
  }

  async #incarnation(): Promise<Incarnation> {
    if (this.#closing !== undefined) throw new ClosedError("the worker is closed; make another.");
    if (this.#current !== undefined && !this.#current.isOver) return this.#current;
    this.#entering ??= this.#enter();
    return await this.#entering;
  }

  async #enter(): Promise<Incarnation> {
    try {
      this.#current = await Incarnation.enter(this.#http, this.#options.host, this.#onError);
      return this.#current;
    } finally {
      this.#entering = undefined;
    }
  }
}

function parseAgent(agent: string): Registration["agent"] {
  const slash = agent.indexOf("/");
  if (slash < 1 || slash === agent.length - 1) {
    throw new InvalidValueError(`agent ${JSON.stringify(agent)} is not written type/key.`);
  }
  return { type: agent.slice(0, slash), key: agent.slice(slash + 1) };
}

function checkMs(given: number | undefined, otherwise: number, what: string): number {
  const ms = given ?? otherwise;
  // What is more, timers take for nothing.
  if (ms > 0 && ms < 2 ** 31) return ms;
  throw new InvalidValueError(`${what} is ${ms}; give it milliseconds, above 0 and below 2^31.`);
}

function warn(error: unknown, what: string): void {
  console.warn(`session-router: ${what}: ${explain(error)}`);
}
