import { pauseMs, sleep, unref } from "./backoff.js";
import { NetworkError } from "./errors.js";
import type { Http } from "./http.js";
import { events } from "./sse.js";

/** Something comes at least every 10 s; a connection that is silent for longer is dead. */
const SILENT_MS = 25_000;
const SETTLED_MS = 5_000;

/** The order to stop one stream. */
export interface Signal {
  signal_id: string;
  request_id: string;
  session_id: string;
  agent_id: string;
  stream_id: string;
  action: "cancel" | "cancel_and_remove";
  requested_at: string;
}

/** Who reads signals, and what is told. */
export interface SignalListener {
  onSignal(signal: Signal): void;
  /** A connection failed; another one is made. @returns whether to go on. */
  onFailure(error: unknown): boolean;
  /** The worker's row is gone. */
  onGone(): void;
}

/**
 * Reads a worker's signals, over one connection after another.
 *
 * After each connect all that are unsettled come again, so the listener may be told of one twice.
 *
 * @param until - ends it.
 */
export async function readSignals(
  http: Http,
  workerId: string,
  listener: SignalListener,
  until: AbortSignal,
): Promise<void> {
  let failures = 0;
  while (!until.aborted) {
    const connectedAt = Date.now();
    try {
      await readOnce(http, workerId, listener, until);
    } catch (error) {
      if (until.aborted || !listener.onFailure(error)) return;
    }
    failures = Date.now() - connectedAt > SETTLED_MS ? 1 : failures + 1;
    await sleep(pauseMs(failures), until);
  }
}

/** One connection, until it ends: plainly where the service shuts down. */
async function readOnce(
  http: Http,
  workerId: string,
  listener: SignalListener,
  until: AbortSignal,
): Promise<void> {
  const connection = new AbortController();
  const cut = (): void => connection.abort();
  until.addEventListener("abort", cut, { once: true });
  let watch: ReturnType<typeof setTimeout> | undefined;
  const alive = (): void => {
    clearTimeout(watch);
    watch = setTimeout(cut, SILENT_MS);
    unref(watch);
  };
  alive();
  try {
    const path = ["workers", workerId, "signals"];
    const response = await http.open(path, "text/event-stream", connection.signal);
    if (response.body === null) throw new TypeError("this `fetch` gives no body to read from.");
    for await (const { event, data } of events(response.body, alive, connection.signal)) {
      if (event === "signal") listener.onSignal(JSON.parse(data) as Signal);
      if (event === "gone") return listener.onGone();
    }
    connection.signal.throwIfAborted();
  } catch (error) {
    const isSilent = connection.signal.aborted && !until.aborted;
    throw isSilent ? new NetworkError(`nothing came for ${SILENT_MS / 1_000} s`, error) : error;
  } finally {
    clearTimeout(watch);
    until.removeEventListener("abort", cut);
  }
}
