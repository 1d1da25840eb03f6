import { pauseMs, sleep, unlessAborted } from "./backoff.js";
import {
  InvalidValueError,
  NetworkError,
  ProblemError,
  SessionRouterError,
  problemOf,
} from "./errors.js";

const ANSWER_WITHIN_SEC = 30;
const TRIES = 4;
const LONGEST_RETRY_AFTER_SEC = 10;

/** Where and how requests are sent. */
export interface HttpOptions {
  /** The service's address, such as `http://127.0.0.1:8080`; a path in front of its own is kept. */
  baseUrl: string;
  /** A key, `sr_<key_id>_<secret>`; needed once the service has any. */
  key?: string | undefined;
  /** What sends requests; left out, the global `fetch`. */
  fetch?: typeof fetch | undefined;
}

/** One request. */
export interface Call {
  method: "GET" | "PUT" | "POST" | "DELETE";
  /** Its path's segments, as they are: they are percent-encoded here. */
  path: readonly string[];
  query?: Record<string, string | number | boolean | undefined>;
  body?: unknown;
  /** Whether it may be done twice, where it is unknown if it was done once. */
  repeatable?: boolean;
  /** How long the service itself may wait before it answers. */
  waitSec?: number | undefined;
  /** How long an answer may take beyond that; left out, 30 s. */
  withinSec?: number;
  /** Gives up; there are no further tries then. */
  signal?: AbortSignal;
}

/** Sends requests to one service; turns its errors into ours, and tries again what is safe. */
export class Http {
  readonly #baseUrl: string;
  readonly #headers: Record<string, string>;
  readonly #fetch: typeof fetch;

  constructor({ baseUrl, key, fetch: given }: HttpOptions) {
    this.#baseUrl = checkBaseUrl(baseUrl);
    this.#headers = key === undefined ? {} : { Authorization: `Bearer ${key}` };
    // Browsers refuse a `fetch` that is called on another object.
    this.#fetch = given ?? ((input, init) => fetch(input, init));
  }

  /** The JSON that is answered. */
  async json<T>(call: Call): Promise<T> {
    return (await this.exchange(call)).body as T;
  }

  /** The answer, and its body where there is one. */
  async exchange(call: Call): Promise<{ response: Response; body: unknown }> {
    for (let failures = 1; ; failures += 1) {
      try {
        return await this.#once(call);
      } catch (error) {
        const again = failures < TRIES && !call.signal?.aborted && mayBeRepeated(call, error);
        if (!again) throw error;
        await sleep(Math.max(pauseMs(failures), retryAfterMs(error)), call.signal);
      }
    }
  }

  /**
   * The bytes of an answer that does not end soon.
   *
   * @param signal - ends it.
   */
  async open(path: readonly string[], accept: string, signal: AbortSignal): Promise<Response> {
    const response = await this.#send({ method: "GET", path }, { Accept: accept }, signal);
    if (!response.ok) throw await problemOf(response);
    return response;
  }

  async #once(call: Call): Promise<{ response: Response; body: unknown }> {
    const limit = new AbortController();
    const limitSec = (call.withinSec ?? ANSWER_WITHIN_SEC) + (call.waitSec ?? 0);
    const timer = setTimeout(() => {
      limit.abort(new Error(`no answer within ${limitSec} s`));
    }, limitSec * 1_000);
    const giveUp = (): void => limit.abort(call.signal?.reason);
    if (call.signal?.aborted) giveUp();
    call.signal?.addEventListener("abort", giveUp, { once: true });
    try {
      return await unlessAborted(this.#answer(call, limit.signal), limit.signal);
    } catch (error) {
      throw error instanceof SessionRouterError ? error : networkError(call, limit.signal, error);
    } finally {
      clearTimeout(timer);
      call.signal?.removeEventListener("abort", giveUp);
    }
  }

  async #answer(call: Call, signal: AbortSignal): Promise<{ response: Response; body: unknown }> {
    const response = await this.#send(call, {}, signal);
    if (!response.ok) throw await problemOf(response);
    const text = await response.text();
    return { response, body: text === "" ? undefined : (JSON.parse(text) as unknown) };
  }

  async #send(
    call: Call,
    headers: Record<string, string>,
    signal: AbortSignal,
  ): Promise<Response> {
    const url = `${this.#baseUrl}/${call.path.map(segment).join("/")}${queryOf(call.query)}`;
    const init: RequestInit = {
      method: call.method,
      headers: { ...this.#headers, ...headers },
      signal,
      // A key goes to the address that was given, and to no other.
      redirect: "error",
      cache: "no-store",
    };
    if (call.body !== undefined) {
      init.body = JSON.stringify(call.body);
      init.headers = { ...init.headers, "Content-Type": "application/json" };
    }
    try {
      return await this.#fetch(url, init);
    } catch (error) {
      throw networkError(call, signal, error);
    }
  }
}

/**
 * Whether another try can do no harm. A change that may have been done is done again only where
 * that makes no difference.
 */
function mayBeRepeated(call: Call, error: unknown): boolean {
  if (error instanceof NetworkError) return call.method === "GET" || error.notSent;
  if (!(error instanceof ProblemError) || error.status !== 503) return false;
  if (error.retryAfter === undefined || error.retryAfter > LONGEST_RETRY_AFTER_SEC) return false;
  const isUnsure = error.kind === "database-unavailable" || error.type === "about:blank";
  const mayBeDone = isUnsure && !error.nothingWritten;
  return call.method === "GET" || call.repeatable === true || !mayBeDone;
}

function retryAfterMs(error: unknown): number {
  return error instanceof ProblemError ? (error.retryAfter ?? 0) * 1_000 : 0;
}

function networkError(call: Call, signal: AbortSignal, error: unknown): NetworkError {
  const cause: unknown = signal.aborted ? signal.reason : error;
  const why = cause instanceof Error ? deepest(cause) : String(cause);
  return new NetworkError(`${call.method} /${call.path.join("/")} was not answered: ${why}`, cause);
}

function deepest(error: Error): string {
  const cause = error.cause;
  return cause instanceof Error && cause.message ? deepest(cause) : error.message;
}

function checkBaseUrl(given: string): string {
  let url: URL;
  try {
    url = new URL(given);
  } catch {
    throw new InvalidValueError(`baseUrl ${JSON.stringify(given)} is no URL; give one such as http://127.0.0.1:8080.`);
  }
  if (url.search || url.hash || url.username || !/^https?:$/.test(url.protocol)) {
    throw new InvalidValueError("baseUrl is an http or https address, without user, query and fragment.");
  }
  return url.href.replace(/\/+$/, "");
}

/** Percent-encodes; URLs take a segment of dots for a step in the path, however it is written. */
function segment(text: string): string {
  if (text === "" || text === "." || text === "..") {
    throw new InvalidValueError(
      `${JSON.stringify(text)} cannot stand in the path of a URL; use another id.`,
    );
  }
  try {
    return encodeURIComponent(text);
  } catch {
    throw new InvalidValueError(
      `${JSON.stringify(text)} has half a surrogate pair, which is no text; use another id.`,
    );
  }
}

function queryOf(query: Call["query"]): string {
  const given = Object.entries(query ?? {}).flatMap(([name, value]) =>
    value === undefined ? [] : [[name, String(value)]],
  );
  return given.length ? `?${new URLSearchParams(given).toString()}` : "";
}
