import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { SseParser, events, type SseEvent } from "../dist/sse.js";

const encode = (text: string): Uint8Array => new TextEncoder().encode(text);

/** What is read when the bytes come in pieces of so many. */
function read(text: string, size: number): SseEvent[] {
  const parser = new SseParser();
  const bytes = encode(text);
  const found: SseEvent[] = [];
  for (let at = 0; at < bytes.length; at += size) {
    found.push(...parser.push(bytes.subarray(at, at + size)));
  }
  return found;
}

const MIXED =
  "\uFEFF: hello\n\nevent: signal\nid: 1\ndata: {\"a\":\"ä€😀\"}\n\n" +
  "data: one\r\ndata:two\r\ndata:  three\r\n\r\n" +
  "data: by CR\r\r: a comment\rid\rdata\r\r" +
  "retry: 5\nunknown: x\nevent: none\n\nid: a\0b\ndata: last\n\ndata: unfinished\n";

const MIXED_EVENTS = [
  { event: "signal", data: '{"a":"ä€😀"}', id: "1" },
  { event: "message", data: "one\ntwo\n three", id: "1" },
  { event: "message", data: "by CR", id: "1" },
  { event: "message", data: "", id: "" },
  { event: "message", data: "last", id: "" },
];

describe("the parser of server-sent events", () => {
  for (const size of [1, 2, 3, 4, 5, 7, 11, 13, 64, 10_000]) {
    it(`reads the same from pieces of ${size} bytes`, () => {
      assert.deepEqual(read(MIXED, size), MIXED_EVENTS);
    });
  }

  it("reads the same wherever the bytes are cut in two", () => {
    const bytes = encode(MIXED);
    for (let cut = 0; cut <= bytes.length; cut += 1) {
      const parser = new SseParser();
      const found = [...parser.push(bytes.subarray(0, cut)), ...parser.push(bytes.subarray(cut))];
      assert.deepEqual(found, MIXED_EVENTS, `cut at ${cut}`);
    }
  });

  it("tells an event as soon as its empty line is there, also one that ends in CR", () => {
    const parser = new SseParser();
    assert.deepEqual(parser.push(encode("data: a\r\n")), []);
    assert.equal(parser.push(encode("\r")).length, 1);
    assert.deepEqual(parser.push(encode("\ndata: b\n")), []);
    assert.deepEqual(parser.push(encode("\n")), [{ event: "message", data: "b", id: "" }]);
  });

  it("puts a mark in the place of bytes that are no UTF-8", () => {
    const parser = new SseParser();
    const bytes = [...encode("data: "), 0xff, 0xc3, ...encode("\n\n")];
    assert.equal(parser.push(Uint8Array.from(bytes))[0]?.data, "\uFFFD\uFFFD");
  });

  it("refuses an event that has no end", () => {
    const parser = new SseParser();
    const piece = encode("x".repeat(100_000));
    assert.throws(() => {
      for (let times = 0; times < 11; times += 1) parser.push(piece);
    }, RangeError);
    const lines = encode(`data: ${"x".repeat(1_000)}\n`);
    const other = new SseParser();
    assert.throws(() => {
      for (let times = 0; times < 1_100; times += 1) other.push(lines);
    }, RangeError);
  });

  it("closes the connection of whoever stops reading", async () => {
    let closed = false;
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => controller.enqueue(encode("data: 1\n\ndata: 2\n\n")),
      cancel: () => void (closed = true),
    });
    const { signal } = new AbortController();
    for await (const { data } of events(body, () => undefined, signal)) {
      assert.equal(data, "1");
      break;
    }
    assert.ok(closed);
  });

  it("closes the connection when it is told to, while nothing comes", async () => {
    let closed = false;
    const body = new ReadableStream<Uint8Array>({ cancel: () => void (closed = true) });
    const until = new AbortController();
    const read = events(body, () => undefined, until.signal).next();
    until.abort();
    assert.deepEqual([await read, closed], [{ done: true, value: undefined }, true]);
  });
});
