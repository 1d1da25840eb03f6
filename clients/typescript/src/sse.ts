const LONGEST = 1_000_000;

/** One event of a `text/event-stream`. */
export interface SseEvent {
  /** Its kind; `message` where none is given. */
  event: string;
  /** Its lines of data, joined. */
  data: string;
  /** The last id that was given so far. */
  id: string;
}

/**
 * Reads events from bytes, however these are cut.
 *
 * It follows the HTML standard: lines end in CR, LF or both, an event is over at an empty line, and
 * what is not over at the end does not count.
 */
export class SseParser {
  readonly #decoder = new TextDecoder();
  #rest = "";
  #endedInCr = false;
  #event = "";
  #data: string[] = [];
  #size = 0;
  #id = "";

  /**
   * @param bytes - what has come.
   * @returns the events that are whole now.
   * @throws RangeError - an event is larger than a million characters.
   */
  push(bytes: Uint8Array): SseEvent[] {
    let text = this.#decoder.decode(bytes, { stream: true });
    if (text === "") return [];
    if (this.#endedInCr && text.startsWith("\n")) text = text.slice(1);
    this.#endedInCr = text === "" ? false : text.endsWith("\r");
    // The first line that is not whole is the last piece.
    const lines = text.split(/\r\n|\r|\n/);
    lines[0] = this.#rest + lines[0];
    this.#rest = lines.pop() ?? "";
    const events = lines.flatMap((line) => this.#line(line));
    if (this.#rest.length + this.#size > LONGEST) {
      throw new RangeError(`an event is larger than ${LONGEST} characters`);
    }
    return events;
  }

  #line(line: string): SseEvent[] {
    if (line === "") return this.#dispatch();
    const colon = line.indexOf(":");
    if (colon === 0) return []; // a comment
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "data") {
      this.#data.push(value);
      this.#size += value.length;
    } else if (field === "event") {
      this.#event = value;
    } else if (field === "id" && !value.includes("\0")) {
      this.#id = value;
    }
    return [];
  }

  #dispatch(): SseEvent[] {
    const whole = { event: this.#event || "message", data: this.#data.join("\n"), id: this.#id };
    const isEmpty = this.#data.length === 0;
    [this.#event, this.#data, this.#size] = ["", [], 0];
    return isEmpty ? [] : [whole];
  }
}

/**
 * The events of an answer, until it ends.
 *
 * @param body - the answer's bytes.
 * @param alive - called whenever anything has come, be it a comment.
 * @param until - ends it, and closes the connection.
 */
export async function* events(
  body: ReadableStream<Uint8Array>,
  alive: () => void,
  until: AbortSignal,
): AsyncGenerator<SseEvent, void, void> {
  const parser = new SseParser();
  const reader = body.getReader();
  // One that broke has nothing to close. Node's `fetch` may forget its own signal by now.
  const close = (): void => void reader.cancel().catch(() => undefined);
  until.addEventListener("abort", close, { once: true });
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      alive();
      yield* parser.push(value);
    }
  } finally {
    until.removeEventListener("abort", close);
    close();
  }
}
