const FIRST_MS = 100;
const LONGEST_MS = 5_000;

/**
 * The pause before another try, drawn so that many who failed at once do not come back at once.
 *
 * @param failures - how many there were in a row, at least 1.
 */
export function pauseMs(failures: number): number {
  const longest = Math.min(LONGEST_MS, FIRST_MS * 2 ** (failures - 1));
  return longest * (0.5 + Math.random() / 2);
}

/**
 * Wait, or until the signal fires, whichever is first.
 *
 * @param ms - for how many milliseconds.
 * @param signal - ends the wait early.
 */
export function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const wake = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", wake);
      resolve();
    };
    const timer = setTimeout(wake, ms);
    signal?.addEventListener("abort", wake, { once: true });
  });
}

/**
 * What the work gives, unless the signal fires first. Node's `fetch` may forget its own signal once
 * an answer has begun: what only that signal refers to can be collected.
 */
export function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const giveUp = (): void => reject(signal.reason as Error);
    signal.addEventListener("abort", giveUp, { once: true });
    const done = (): void => signal.removeEventListener("abort", giveUp);
    work.then(resolve, reject).finally(done);
  });
}

/** Let Node end while the timer is pending; browsers have no such thing. */
export function unref(timer: unknown): void {
  if (typeof timer === "object" && timer !== null && "unref" in timer) {
    (timer as { unref(): void }).unref();
  }
}
