/** Does nothing. For a result or an error that is handled elsewhere: the place of its use says where. */
export function nothing(): void {
  // See above.
}
