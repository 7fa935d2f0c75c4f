/** Gives back the object it is given, so that the class below adds its private field to that. */
class Given {
  constructor(object: object) {
    // biome-ignore lint/correctness/noConstructorReturn: that is the whole of it
    return object
  }
}

/**
 * What is known of an object, kept on the object itself: no code can see, copy, serialize or compare it.
 *
 * It is a private field of a class that did not make the object. It costs a third of a property that is not enumerable, and a tenth of a
 * WeakMap, whose price is garbage collection. A WeakMap is used for objects that the application has frozen, because later versions of
 * JavaScript add no private field to them.
 */
class Mark extends Given {
  static #frozen: WeakMap<object, unknown> | undefined
  #known: unknown

  private constructor(object: object, known: unknown) {
    super(object)
    this.#known = known
  }

  static of(object: object): unknown {
    return #known in object ? (object as Mark).#known : Mark.#frozen?.get(object)
  }

  static put(object: object, known: unknown): void {
    if (#known in object) (object as Mark).#known = known
    else if (Object.isExtensible(object)) new Mark(object, known)
    else {
      Mark.#frozen ??= new WeakMap()
      Mark.#frozen.set(object, known)
    }
  }
}

/** Returns what was last put on the object. */
export const markOf: (object: object) => unknown = Mark.of

/** Puts it on the object, and replaces what was there. */
export const putMark: (object: object, known: unknown) => void = Mark.put
