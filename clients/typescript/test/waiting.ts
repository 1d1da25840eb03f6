/** Waiting for what comes to be so, within a limit. */
import type { SessionEvent, SessionRouter } from "session-router";

/** The first thing that the look finds; it fails when nothing is found for so long. */
export async function eventually<T>(
  look: () => T | undefined | null | false | Promise<T | undefined | null | false>,
  limitMs = 20_000,
): Promise<T> {
  const over = Date.now() + limitMs;
  for (;;) {
    const found = await look();
    if (found !== undefined && found !== null && found !== false) return found;
    if (Date.now() > over) throw new Error(`not so within ${limitMs / 1_000} s: ${look.toString()}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** All that the trail tells of a session id. */
export async function trail(router: SessionRouter, sessionId: string): Promise<SessionEvent[]> {
  const found: SessionEvent[] = [];
  for await (const page of router.events(sessionId)) found.push(...page.items);
  return found;
}

/** How the streams of a session ended, in order. */
export async function outcomes(router: SessionRouter, sessionId: string): Promise<string[]> {
  const events = await trail(router, sessionId);
  return events.filter((each) => each.event === "stream_finished").map((each) => each.outcome ?? "");
}

/** The receipts of a session's signals, in order. */
export async function receipts(router: SessionRouter, sessionId: string): Promise<string[]> {
  const events = await trail(router, sessionId);
  return events.filter((each) => each.event === "signal_settled").map((each) => each.outcome ?? "");
}
