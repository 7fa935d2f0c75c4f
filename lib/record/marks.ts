/** Its constructor returns its argument, so that a subclass adds its private field to that object instead of a new one. */
class ReturnsArgument {
  constructor(object: object) {
    // biome-ignore lint/correctness/noConstructorReturn: this is the purpose of the class
    return object
  }
}

/**
 * A note that the store attaches to an object of the application. Other code cannot see, copy, serialize or compare it.
 *
 * The note is a private field, added to an object that this class did not create. It costs a third of a non-enumerable property, and a
 * tenth of a WeakMap, which slows garbage collection. Objects that the application has frozen go into a WeakMap all the same, because
 * later versions of JavaScript cannot add a private field to them.
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

/** Returns the mark of the object, or undefined. */
export const markOf: (object: object) => unknown = Mark.of

/** Marks the object. Replaces an earlier mark. */
export const putMark: (object: object, mark: unknown) => void = Mark.put
