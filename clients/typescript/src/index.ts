/**
 * Client of session_router: sessions of multi-agent systems, and agents that can be stopped from
 * anywhere.
 *
 * @packageDocumentation
 */
export {
  ClosedError,
  ForbiddenError,
  InvalidValueError,
  NetworkError,
  NotFoundError,
  ProblemError,
  SessionBusyError,
  SessionRouterError,
  StreamExistsError,
  StreamStoppedError,
  UnauthenticatedError,
  WorkerGoneError,
} from "./errors.js";
export type { Problem, StreamInTheWay } from "./errors.js";
export type { HttpOptions } from "./http.js";
export type { OnError } from "./incarnation.js";
export { SessionRouter } from "./router.js";
export type {
  Asked,
  EventPage,
  Interrupted,
  InterruptAllOptions,
  InterruptedAll,
  ReceiptCounts,
  Session,
  SessionEvent,
  SessionFilter,
  SessionPage,
  SignalOutcome,
  StopAsked,
  StreamInterrupted,
  StreamOutcome,
} from "./router.js";
export type { Source } from "./source.js";
export type { AgentStream, Outcome } from "./stream.js";
export type { AgentWorker, StreamOptions, WorkerOptions } from "./worker.js";
