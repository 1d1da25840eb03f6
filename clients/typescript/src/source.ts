import { explain } from "./errors.js";

/**
 * Where a stream's items come from: what can be iterated, or a function that opens it once the
 * stream is registered. The function is given a signal that fires when the source is left before
 * its end; hand it on to whatever the source waits for, such as `fetch`.
 */
export type Source<T> =
  | AsyncIterable<T>
  | ((signal: AbortSignal) => AsyncIterable<T> | Promise<AsyncIterable<T>>);

/** Reads a source, and leaves it wherever it stands. */
export class SourceReader<T> {
  readonly #source: Source<T>;
  readonly #closeWithinMs: number;
  readonly #abort = new AbortController();
  #iterator: Promise<AsyncIterator<T>> | undefined;
  #underWay: Promise<unknown> = Promise.resolve();
  #hasEnded = false;
  #closed: Promise<string | null> | undefined;

  constructor(source: Source<T>, closeWithinMs: number) {
    this.#source = source;
    this.#closeWithinMs = closeWithinMs;
  }

  /** The next item; opens the source where that was not done. */
  async next(): Promise<IteratorResult<T>> {
    this.#iterator ??= this.#open();
    const asked = this.#iterator.then((iterator) => iterator.next());
    this.#underWay = asked.catch(() => undefined);
    try {
      const item = await asked;
      this.#hasEnded = item.done === true;
      return item;
    } catch (error) {
      this.#hasEnded = true; // an iterator that threw is over, and is not closed by `for await` either
      throw error;
    }
  }

  /**
   * Leave it: its signal fires, and its iterator is told by `return()`.
   *
   * @returns null when it has closed, or had ended; else why it is not known to have.
   */
  close(): Promise<string | null> {
    return (this.#closed ??= this.#hasEnded ? Promise.resolve(null) : this.#leave());
  }

  #leave(): Promise<string | null> {
    this.#abort.abort();
    return new Promise((resolve) => {
      const limit = setTimeout(() => {
        resolve(`the source did not close within ${this.#closeWithinMs / 1_000} s`);
      }, this.#closeWithinMs);
      this.#return().then(
        () => resolve(null),
        (error: unknown) => resolve(`closing the source raised ${explain(error)}`),
      ).finally(() => clearTimeout(limit));
    });
  }

  /** An iterator that has a call under way is told at once; a generator obeys after that call. */
  async #return(): Promise<void> {
    if (this.#iterator === undefined && typeof this.#source === "function") return;
    this.#iterator ??= this.#open();
    const iterator = await this.#iterator.catch(() => undefined); // one that did not open is closed
    const [returned] = await Promise.allSettled([iterator?.return?.(), this.#underWay]);
    if (returned.status === "rejected") throw returned.reason;
  }

  async #open(): Promise<AsyncIterator<T>> {
    const source = this.#source;
    const opened = typeof source === "function" ? await source(this.#abort.signal) : source;
    return opened[Symbol.asyncIterator]();
  }
}
