/** Removes the listener it came with. Calling it twice is harmless. */
export type Unsubscribe = () => void;

/** A set of listeners; whoever adds one gets the one function that removes it. */
export class Listeners<T> {
  #all = new Set<(value: T) => void>();

  add(listener: (value: T) => void): Unsubscribe {
    const own = (value: T) => listener(value); // the same function added twice is two listeners
    this.#all.add(own);
    return () => this.#all.delete(own);
  }

  tell(value: T): void {
    for (const listener of [...this.#all]) listener(value);
  }
}
