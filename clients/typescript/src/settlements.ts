import { pauseMs, sleep } from "./backoff.js";
import { ProblemError } from "./errors.js";
import type { Http } from "./http.js";
import type { components } from "./openapi.js";

const AT_ONCE = 1_000;

/** What became of a signal. */
export type Settlement = components["schemas"]["SettlementItem"];

interface Waiting {
  item: Settlement;
  done: () => void;
}

/** Settles signals: while one request is under way, those that come wait, and share the next. */
export class Settlements {
  readonly #http: Http;
  readonly #workerId: string;
  readonly #mayGoOn: (error: unknown, isLast: boolean) => boolean;
  #waiting: Waiting[] = [];
  #isSending = false;

  /**
   * @param mayGoOn - told of each failure, and whether it is the last word on that signal; whether
   * to go on at all.
   */
  constructor(
    http: Http,
    workerId: string,
    mayGoOn: (error: unknown, isLast: boolean) => boolean,
  ) {
    this.#http = http;
    this.#workerId = workerId;
    this.#mayGoOn = mayGoOn;
  }

  /** Resolves when it is settled, or cannot be any more. */
  settle(item: Settlement): Promise<void> {
    return new Promise((done) => {
      this.#waiting.push({ item, done });
      if (!this.#isSending) void this.#send();
    });
  }

  /** Never rejects: what fails is told to `mayGoOn`. */
  async #send(): Promise<void> {
    this.#isSending = true;
    let [failures, size] = [0, AT_ONCE];
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.slice(0, size);
      let [isDone, isRefused] = [true, false];
      try {
        await this.#post(batch.map(({ item }) => item));
        [failures, size] = [0, AT_ONCE];
      } catch (error) {
        // One that is refused must not keep the others: they are sent one by one then.
        isRefused = error instanceof ProblemError && error.status < 500;
        const isLast = isRefused && batch.length === 1;
        isDone = !this.#mayGoOn(error, isLast) || isLast;
        if (isRefused) size = 1;
        failures += 1;
      }
      if (isDone) {
        this.#waiting.splice(0, batch.length).forEach(({ done }) => done());
      } else if (!isRefused) {
        await sleep(pauseMs(failures));
      }
    }
    this.#isSending = false;
  }

  async #post(items: Settlement[]): Promise<void> {
    const path = ["workers", this.#workerId, "settlements"];
    await this.#http.exchange({ method: "POST", path, body: { items }, repeatable: true });
  }
}
