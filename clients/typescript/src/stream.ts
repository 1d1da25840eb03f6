import { ClosedError, StreamStoppedError, explain } from "./errors.js";
import { SourceReader, type Source } from "./source.js";

/**
 * How a stream ended, as seen here: `interrupted` for every end that others ordered, or that came
 * with the loss of its worker. The audit trail has further words for those.
 */
export type Outcome = "completed" | "failed" | "abandoned" | "interrupted";

/** What a registration asks for. */
export interface Registration {
  sessionId: string;
  agent: { type: string; key: string };
  streamId: string;
  whenBusy: "take_over" | "refuse" | "interrupt";
  alone: boolean;
}

/** How a stream ended, for the trail. */
export interface Ending {
  outcome: Outcome;
  detail: string | undefined;
}

/** What a stream needs of its worker. */
export interface Host {
  register(asked: Registration, stream: Stoppable): Promise<Home>;
  touch(sessionId: string): void;
  readonly touchEveryMs: number;
  readonly cancelTimeoutMs: number;
}

/** The incarnation of a worker that a stream was registered in. */
export interface Home {
  /** Resolves after the first try; goes on until it is done. */
  unregister(asked: Registration, ending: Ending): Promise<void>;
  forget(streamId: string, closed: Promise<string | null>): void;
}

/** What can be told to stop. */
export interface Stoppable {
  readonly streamId: string;
  /** Obey an order; resolves when the source has closed: to null, or else to why not. */
  stop(): Promise<string | null>;
}

/**
 * The items of a source, until it ends or the stream is interrupted from anywhere.
 *
 * It is registered by `start()`, or else when the first item is asked for. For one consumer.
 * Leaving it (`break`, `return()`) ends it as abandoned.
 */
export class AgentStream<T> implements AsyncIterableIterator<T>, Stoppable {
  /** The stream's name, by which exactly it can be stopped, even before it begins. */
  readonly streamId: string;
  readonly #host: Host;
  readonly #asked: Registration;
  readonly #source: SourceReader<T>;
  readonly #signal: AbortSignal | undefined;
  #begun: Promise<void> | undefined;
  #home: Home | undefined;
  #outcome: Outcome | undefined;
  #error: { thrown: unknown } | undefined;
  #over: Promise<void> | undefined;
  #release: (() => void) | undefined;
  #isOrdered = false;
  #isOver = false;
  #touchedAt = Date.now();

  /** Use `worker.stream()`. */
  constructor(host: Host, asked: Registration, source: Source<T>, signal?: AbortSignal) {
    this.streamId = asked.streamId;
    this.#host = host;
    this.#asked = asked;
    this.#source = new SourceReader(source, host.cancelTimeoutMs);
    this.#signal = signal;
    if (signal?.aborted) this.#onAbort();
    signal?.addEventListener("abort", this.#onAbort, { once: true });
  }

  /** How it ended; undefined while it goes on. It is final when the loop has ended. */
  get outcome(): Outcome | undefined {
    return this.#outcome;
  }

  get #hasEnded(): boolean {
    return this.#outcome !== undefined;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /**
   * Register now, before the first item is asked for; the source is not opened yet.
   *
   * @throws SessionBusyError, StreamExistsError, UnauthenticatedError, ForbiddenError - refused.
   * @throws NetworkError, ProblemError - it may have been registered; if so, it is ended.
   * @throws ClosedError - the worker is closed.
   */
  start(): Promise<void> {
    return (this.#begun ??= this.#begin());
  }

  /** The next item; throws what the source throws, and what `start()` does. */
  async next(): Promise<IteratorResult<T>> {
    if (this.#release !== undefined) {
      throw new ClosedError("the stream is being iterated already; use one consumer.");
    }
    try {
      await this.#unlessReleased(this.start());
      const item = this.#hasEnded ? undefined : await this.#unlessReleased(this.#source.next());
      if (item !== undefined && !this.#hasEnded) {
        if (item.done !== true) return this.#handOver(item.value);
        this.#finish("completed");
      }
    } catch (error) {
      this.#finish("failed", error);
    } finally {
      this.#release = undefined;
    }
    return await this.#lastWord();
  }

  /** Leave the stream; resolves when its source is closed and it is unregistered. */
  async return(): Promise<IteratorResult<T>> {
    this.#finish("abandoned");
    await this.#over;
    return { done: true, value: undefined };
  }

  /** @internal Called by its worker. */
  stop(): Promise<string | null> {
    this.#isOrdered = true;
    this.#finish("interrupted");
    if (!this.#isOver) this.#outcome = "interrupted"; // the order came before the end was written
    return this.#source.close();
  }

  readonly #onAbort = (): void => this.#finish("abandoned");

  async #begin(): Promise<void> {
    if (this.#hasEnded) return;
    try {
      this.#home = await this.#host.register(this.#asked, this);
    } catch (error) {
      if (!(error instanceof StreamStoppedError)) {
        this.#finish("failed", error);
        throw error;
      }
      this.#isOrdered = true;
      this.#finish("interrupted");
    }
  }

  #handOver(value: T): IteratorResult<T> {
    const now = Date.now();
    if (now - this.#touchedAt >= this.#host.touchEveryMs) {
      this.#touchedAt = now;
      this.#host.touch(this.#asked.sessionId);
    }
    return { done: false, value };
  }

  /** What the work gives; undefined where the stream ends first. */
  #unlessReleased<R>(work: Promise<R>): Promise<R | undefined> {
    return new Promise((resolve, reject) => {
      this.#release = () => resolve(undefined);
      work.then(resolve, reject);
    });
  }

  /** Settle how it ends: the first to say so is right. */
  #finish(outcome: Outcome, thrown?: unknown): void {
    if (this.#hasEnded) return;
    this.#outcome = outcome;
    if (outcome === "failed") this.#error = { thrown };
    this.#signal?.removeEventListener("abort", this.#onAbort);
    this.#over = this.#end();
    this.#release?.();
  }

  async #end(): Promise<void> {
    const closed = this.#source.close();
    await this.#begun?.catch(() => undefined); // its error is the consumer's
    const outcome = this.#outcome ?? "interrupted";
    if (this.#home !== undefined && !this.#isOrdered) {
      const detail = this.#error && explain(this.#error.thrown);
      await this.#home.unregister(this.#asked, { outcome, detail });
    }
    this.#isOver = true;
    this.#home?.forget(this.streamId, closed);
    await closed;
  }

  /** A stop from outside is seen at once; any other end when it is written. */
  async #lastWord(): Promise<IteratorResult<T>> {
    const isOrdered = this.#isOrdered || this.#signal?.aborted;
    if (!isOrdered) await this.#over;
    const [error] = [this.#error, (this.#error = undefined)];
    if (error !== undefined) throw error.thrown;
    return { done: true, value: undefined };
  }
}
