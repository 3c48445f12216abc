/** Removes the listener it came with. Calling it twice is harmless. */
export type Unsubscribe = () => void;

/** A set of listeners; whoever adds one gets the one function that removes it. */
export class Listeners<T> {
  #all = new Set<(value: T) => void>();

  add(listener: (value: T) => void): Unsubscribe {
    const own = (value: T) => listener(value); // the same function added twice is two listeners
    this.#all.add(own);
    return () => void this.#all.delete(own);
  }

  /** Tells everybody, also those after one that throws. */
  tell(value: T): void {
    for (const listener of [...this.#all]) call(() => listener(value));
  }

  get size(): number {
    return this.#all.size;
  }
}

/**
 * Calls a listener. What it throws comes out as an uncaught error, since it is
 * the listener's: it must not break the connection, nor those after it.
 */
export function call(listener: () => void): void {
  try {
    listener();
  } catch (err) {
    setTimeout(() => {
      throw err;
    });
  }
}
