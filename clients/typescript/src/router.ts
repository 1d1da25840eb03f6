import { NotFoundError } from "./errors.js";
import { Http, type HttpOptions } from "./http.js";
import type { components } from "./openapi.js";
import { AgentWorker, type WorkerOptions } from "./worker.js";

type Schemas = components["schemas"];

/** A session: its id, its times, and who streams in it. */
export type Session = Schemas["Session"];
export type SessionPage = Schemas["SessionPage"];
export type SessionEvent = Schemas["SessionEvent"];
export type EventPage = Schemas["EventPage"];
/** What an interrupt stops; its receipts are counted under `request_id`. */
export type Interrupted = Schemas["Interrupted"] & { request_id: string };
export type StreamInterrupted = Schemas["StreamInterrupted"];
export type InterruptedAll = Schemas["InterruptedAll"];
export type ReceiptCounts = Schemas["ReceiptCounts"];
export type SignalOutcome = Schemas["SignalOutcome"];
export type StreamOutcome = Schemas["StreamOutcome"];

/** Who asks, and why, for the audit trail. */
export interface Asked {
  actor?: string;
  reason?: string;
}

/** Who asks for a stop, and for how many seconds (at most 300) the receipts are waited for. */
export interface StopAsked extends Asked {
  wait?: number;
}

/** Which sessions to list. */
export interface SessionFilter {
  /** Only ids that begin so. */
  prefix?: string;
  /** Only where an agent of this type streams. */
  agentType?: string;
  /** Only where an agent streams in this worker. */
  worker?: string;
  /** Only where an agent streams, or where none does. */
  streaming?: boolean;
  /** Only those untouched for so many seconds. */
  idleFor?: number;
  /** Begin behind this id. */
  after?: string;
  /** How many to a page, at most 1000; default 100. */
  limit?: number;
}

/** Which streams of all sessions to stop. */
export interface InterruptAllOptions extends Asked {
  agentType?: string;
  workerId?: string;
  /** Only streams that began so many seconds ago, or before. */
  olderThan?: number;
  /** Count what matches, and stop nothing. */
  dryRun?: boolean;
}

/**
 * A client of one session_router service.
 *
 * What is returned are the service's own documents, with its names for fields. Calls throw a
 * `ProblemError` where the service refuses and a `NetworkError` where no answer comes; what is safe
 * to repeat has been repeated then.
 */
export class SessionRouter {
  readonly #http: Http;

  constructor(options: HttpOptions) {
    this.#http = new Http(options);
  }

  /** Get or create a session, and touch it. */
  startSession(sessionId: string): Promise<Session> {
    return this.#http.json({ method: "PUT", path: ["sessions", sessionId], repeatable: true });
  }

  /** Begin a fresh session; a live one of that id is replaced. Left out, an id is made. */
  startNewSession(sessionId?: string): Promise<Session> {
    const body = { session_id: sessionId };
    return this.#http.json({ method: "POST", path: ["sessions"], body });
  }

  /** Touch a session and read it; null where it does not live. */
  getSession(sessionId: string): Promise<Session | null> {
    const path = ["sessions", sessionId, "touch"];
    return orNull(this.#http.json({ method: "POST", path, repeatable: true }));
  }

  /** Read a session without a touch; null where it does not live. */
  showSession(sessionId: string): Promise<Session | null> {
    return orNull(this.#http.json({ method: "GET", path: ["sessions", sessionId] }));
  }

  /** List live sessions, a page at a time, in the order of their ids. */
  listSessions(filter: SessionFilter = {}): AsyncIterable<SessionPage> {
    const { agentType, idleFor, ...same } = filter;
    const query = { ...same, agent_type: agentType, idle_for: idleFor };
    return this.#pages<SessionPage>(["sessions"], query);
  }

  /** End a session and stop what streams in it; whether it lived. */
  async endSession(sessionId: string, asked: Asked = {}): Promise<boolean> {
    const { actor, reason } = asked;
    const path = ["sessions", sessionId];
    const ended = this.#http.exchange({ method: "DELETE", path, query: { actor, reason } });
    return (await orNull(ended)) !== null;
  }

  /**
   * Stop what streams in a session now; the session lives on.
   *
   * @param asked - `agents`: only these, `type/key`. With `wait`, `outcomes` tells what became of
   * each, null where that is open still.
   * @returns null where the session does not live.
   */
  async interrupt(
    sessionId: string,
    asked: StopAsked & { agents?: string[] } = {},
  ): Promise<Interrupted | null> {
    const { agents, actor, reason, wait } = asked;
    const path = ["sessions", sessionId, "interrupt"];
    const call = { path, body: { agents, actor, reason, wait }, waitSec: wait };
    const done = await orNull(this.#http.exchange({ method: "POST", ...call }));
    if (done === null) return null;
    const location = done.response.headers.get("location") ?? "";
    const request_id = location.slice(location.lastIndexOf("/") + 1);
    return { ...(done.body as Schemas["Interrupted"]), request_id };
  }

  /** Stop exactly this stream, in whichever worker, even before it begins. */
  interruptStream(
    sessionId: string,
    streamId: string,
    asked: StopAsked = {},
  ): Promise<StreamInterrupted> {
    const { actor, reason, wait } = asked;
    const path = ["sessions", sessionId, "streams", streamId, "interrupt"];
    const body = { actor, reason, wait };
    return this.#http.json({ method: "POST", path, body, waitSec: wait });
  }

  /** Stop the streams of all sessions, or those that match. */
  interruptAll(asked: InterruptAllOptions = {}): Promise<InterruptedAll> {
    const { agentType, workerId, olderThan, dryRun, actor, reason } = asked;
    const which = { agent_type: agentType, worker_id: workerId, older_than: olderThan };
    const body = { ...which, dry_run: dryRun, actor, reason };
    return this.#http.json({ method: "POST", path: ["interrupts"], body });
  }

  /** Count what became of an interrupt's signals; null where there was none of that name. */
  receipts(requestId: string): Promise<ReceiptCounts | null> {
    return orNull(this.#http.json({ method: "GET", path: ["interrupts", requestId] }));
  }

  /**
   * Read the audit trail of a session id, a page at a time, also after its end.
   *
   * @param from - `after`: the last `event_id` that was read; `limit`: how many to a page.
   */
  events(
    sessionId: string,
    from: { after?: number; limit?: number } = {},
  ): AsyncIterable<EventPage> {
    return this.#pages<EventPage>(["sessions", sessionId, "events"], from);
  }

  /** Enter as a worker, whose streams can be stopped from anywhere; to be closed in the end. */
  worker(options: WorkerOptions = {}): Promise<AgentWorker> {
    return AgentWorker.enter(this.#http, options);
  }

  async *#pages<Page extends { next: string | number | null }>(
    path: string[],
    query: Record<string, string | number | boolean | undefined>,
  ): AsyncGenerator<Page, void, void> {
    let after = query["after"];
    for (;;) {
      const page: Page = await this.#http.json({ method: "GET", path, query: { ...query, after } });
      yield page;
      if (page.next === null) return;
      after = page.next;
    }
  }
}

const NOT_THERE = new Set(["session-not-found", "request-not-found"]);

/** What was asked for may not live: that is an answer. */
async function orNull<T>(answer: Promise<T>): Promise<T | null> {
  try {
    return await answer;
  } catch (error) {
    if (error instanceof NotFoundError && NOT_THERE.has(error.kind)) return null;
    throw error;
  }
}
