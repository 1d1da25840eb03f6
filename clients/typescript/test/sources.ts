/** Sources of every temper. */

/** Gives one item, then waits until it is told to stop, as a `fetch` with its signal does. */
export async function* hanging(signal: AbortSignal): AsyncGenerator<string, void, void> {
  yield "one";
  await new Promise((_, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason as Error), { once: true });
  });
}

/** Gives one item, and hears nothing afterwards. */
export async function* deaf(): AsyncGenerator<string, void, void> {
  yield "one";
  await new Promise(() => undefined);
}

/** Gives items without end. */
export async function* ticking(): AsyncGenerator<number, void, void> {
  for (let number = 1; ; number += 1) {
    yield number;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** Gives these, and ends; `onEnd` is called however it is left. */
export async function* words(
  given: string[],
  onEnd: () => void = () => undefined,
): AsyncGenerator<string, void, void> {
  try {
    for (const word of given) yield await Promise.resolve(word);
  } finally {
    onEnd();
  }
}

/** Gives one item, and throws. */
export async function* failing(): AsyncGenerator<string, void, void> {
  yield await Promise.resolve("one");
  throw new TypeError("no more words");
}
