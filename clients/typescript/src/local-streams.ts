import type { Stoppable } from "./stream.js";

const REMEMBERED = 10_000;

/** The streams of one incarnation of a worker: those that go on, and those that ended lately. */
export class LocalStreams {
  readonly #live = new Map<string, Stoppable>();
  readonly #registered = new Set<string>();
  readonly #over = new Map<string, Promise<string | null>>();

  /** Before it is registered: its signal may come before the answer does. */
  add(stream: Stoppable): void {
    this.#live.set(stream.streamId, stream);
  }

  registered(streamId: string): void {
    this.#registered.add(streamId);
  }

  remove(streamId: string): void {
    this.#live.delete(streamId);
    this.#registered.delete(streamId);
  }

  /** It has ended: a signal that was on its way meets how its source has closed. */
  retire(streamId: string, closed: Promise<string | null>): void {
    this.remove(streamId);
    this.#over.set(streamId, closed);
    for (const [oldest] of this.#over) {
      if (this.#over.size <= REMEMBERED) break;
      this.#over.delete(oldest);
    }
  }

  /** Stop one; resolves to null when its source has closed, or else to why that is not known. */
  async stop(streamId: string): Promise<string | null> {
    const live = this.#live.get(streamId);
    if (live !== undefined) return await live.stop();
    return await (this.#over.get(streamId) ?? "no such stream here");
  }

  /** Stop all that were registered; one that is being registered is told by the answer. */
  async stopAll(): Promise<void> {
    await Promise.all([...this.#registered].map((streamId) => this.stop(streamId)));
  }
}
