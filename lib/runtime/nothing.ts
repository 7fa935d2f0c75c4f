/** Does nothing. It is used for a result or an error that is handled elsewhere. The place where it is used says where. */
export function nothing(): void {
  // See above.
}
