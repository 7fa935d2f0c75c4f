/** Its constructor returns its argument, so that a subclass adds its private field to that object instead of a new one. */
class ReturnsArgument {
  constructor(object: object) {
    // biome-ignore lint/correctness/noConstructorReturn: this is the purpose of the class
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
class Mark extends ReturnsArgument {
  static #frozen: WeakMap<object, unknown> | undefined
  #mark: unknown

  private constructor(object: object, mark: unknown) {
    super(object)
    this.#mark = mark
  }

  static of(object: object): unknown {
    return #mark in object ? (object as Mark).#mark : Mark.#frozen?.get(object)
  }

  static put(object: object, mark: unknown): void {
    if (#mark in object) (object as Mark).#mark = mark
    else if (Object.isExtensible(object)) new Mark(object, mark)
    else {
      Mark.#frozen ??= new WeakMap()
      Mark.#frozen.set(object, mark)
    }
  }
}

/** Returns what was last put on the object. */
export const markOf: (object: object) => unknown = Mark.of

/** Puts it on the object, and replaces what was there. */
export const putMark: (object: object, mark: unknown) => void = Mark.put
