import type { components } from "./openapi.js";

/** A problem document (RFC 9457), as the service answers errors. */
export type Problem = components["schemas"]["Problem"];
/** A stream that is in the way of another one. */
export type StreamInTheWay = components["schemas"]["StreamInTheWay"];

/** What all errors of this package have in common. */
export class SessionRouterError extends Error {
  override get name(): string {
    return this.constructor.name;
  }
}

/** A value that no request can be made of; nothing was sent. */
export class InvalidValueError extends SessionRouterError {}

/** Something was called on a worker, or a stream, that is closed. */
export class ClosedError extends SessionRouterError {}

/**
 * No answer came: the service is away, the connection broke, or it took too long. Whether a change
 * happened is unknown, unless `notSent`.
 */
export class NetworkError extends SessionRouterError {
  /** Whether it is certain that the request never left: the connection was refused. */
  readonly notSent: boolean;

  constructor(message: string, cause: unknown) {
    super(message, { cause });
    this.notSent = codeOf(cause) === "ECONNREFUSED";
  }
}

/** The service, or something in front of it, answered with an error. */
export class ProblemError extends SessionRouterError {
  /** The kind of problem, a URI; `about:blank` where what answered is not this service. */
  readonly type: string;
  /** The kind of problem in a few words. */
  readonly title: string;
  /** The HTTP status. */
  readonly status: number;
  /** What happened, and what to do about it. */
  readonly detail: string;
  /** The request's name in the service's log. */
  readonly requestId: string | undefined;
  /** After how many seconds another try is welcome, where the service says so. */
  readonly retryAfter: number | undefined;
  /** Whether the service is certain that the request has changed nothing, though its database is away. */
  readonly nothingWritten: boolean;

  constructor(problem: Problem, retryAfter?: number) {
    super(`${problem.title} (${problem.status}): ${problem.detail}`);
    this.type = problem.type;
    this.title = problem.title;
    this.status = problem.status;
    this.detail = problem.detail;
    this.requestId = problem.request_id ?? undefined;
    this.retryAfter = retryAfter;
    this.nothingWritten = problem.nothing_written === true;
  }

  /** The last part of `type`, such as `session-not-found` or `stream-exists`. */
  get kind(): string {
    return this.type.slice(this.type.lastIndexOf(":") + 1);
  }
}

/** 401: the service asks for a key, or does not know this one. */
export class UnauthenticatedError extends ProblemError {}

/** 403: the key is not for this. */
export class ForbiddenError extends ProblemError {}

/** 404: what was asked for does not live. */
export class NotFoundError extends ProblemError {}

/** 409: other streams are in the way, and `whenBusy` is `refuse`. */
export class SessionBusyError extends ProblemError {
  /** The streams in the way. */
  readonly streams: StreamInTheWay[];

  constructor(problem: Problem, retryAfter?: number) {
    super(problem, retryAfter);
    this.streams = problem.streams ?? [];
  }
}

/** 409: a stream of this name began before. */
export class StreamExistsError extends ProblemError {}

/** 409: the stream was stopped before it began, so it must not begin. */
export class StreamStoppedError extends ProblemError {}

/** 410: the worker's lease ran out, or it was stopped; nothing was written. */
export class WorkerGoneError extends ProblemError {}

const BY_KIND: Record<string, typeof ProblemError> = {
  "session-busy": SessionBusyError,
  "stream-exists": StreamExistsError,
  "stream-stopped": StreamStoppedError,
};
const BY_STATUS: Record<number, typeof ProblemError> = {
  401: UnauthenticatedError,
  403: ForbiddenError,
  404: NotFoundError,
  410: WorkerGoneError,
};

/** The error that an answer tells of; reads its body. */
export async function problemOf(response: Response): Promise<ProblemError> {
  const problem = asProblem(response, await response.text());
  const kind = problem.type.slice(problem.type.lastIndexOf(":") + 1);
  const made = BY_KIND[kind] ?? BY_STATUS[problem.status] ?? ProblemError;
  return new made(problem, retryAfterOf(response));
}

function asProblem(response: Response, text: string): Problem {
  const isProblem = response.headers.get("content-type")?.startsWith("application/problem+json");
  if (isProblem) {
    try {
      return JSON.parse(text) as Problem;
    } catch {
      // It says that it is one, and is not: shown as it came.
    }
  }
  return {
    type: "about:blank",
    title: response.statusText || "The answer is an error",
    status: response.status,
    detail: text.slice(0, 200) || "there is no body.",
    request_id: response.headers.get("x-request-id"),
  };
}

function retryAfterOf(response: Response): number | undefined {
  const given = response.headers.get("retry-after") ?? "";
  return /^\d+$/.test(given) ? Number(given) : undefined;
}

/** Node's fetch tells the system's error as the cause of its own; browsers tell nothing. */
function codeOf(error: unknown): unknown {
  let each: unknown = error;
  for (let depth = 0; depth < 5 && each instanceof Error; depth += 1) {
    if ("code" in each && typeof each.code === "string") return each.code;
    each = each.cause;
  }
  return undefined;
}

/** What an error says of itself, for the trail: its beginning, where it says much. */
export function explain(error: unknown): string {
  const told = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  return told.slice(0, 1_000);
}
