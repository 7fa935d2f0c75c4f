import { Bounded, Deadlines } from '../calls/deadlines'
import { monotonicNow } from '../runtime/natives'

/** A statement counts as slow after so many milliseconds in flight. It waits for a lock, for the disk or for the network then. */
const SLOW_MS = 20

/** A statement in flight. */
export class Flight extends Bounded {
  state: 'fresh' | 'slow' | 'ended' = 'fresh'

  constructor(
    readonly rows: number,
    private readonly flights: Flights
  ) {
    super()
  }

  /** Called by the deadlines when the statement becomes slow. */
  override expire(): void {
    this.flights.passOver(this)
  }
}

/**
 * The statements of a lane that are in flight. Slow statements do not count: a statement that waits for a locked row must not stop the
 * others.
 */
export class Flights {
  private count = 0
  private slow = 0
  private readonly deadlines = new Deadlines(SLOW_MS)
  /** The rows of the statements that are not slow. */
  rows = 0

  /**
   * @param max how many statements may be in flight
   * @param spare how many slow statements may be in flight in addition
   * @param becameSlow called when a statement becomes slow, because another one may be sent then
   */
  constructor(
    private readonly max: number,
    private readonly spare: number,
    private readonly becameSlow: () => void
  ) {}

  get isFull(): boolean {
    return this.count >= this.max || this.count + this.slow >= this.max + this.spare
  }

  get hasSlow(): boolean {
    return this.slow > 0
  }

  begin(rows: number): Flight {
    const flight = new Flight(rows, this)
    this.count++
    this.rows += rows
    if (this.spare > 0) this.deadlines.add(flight, monotonicNow())
    return flight
  }

  end(flight: Flight): void {
    if (flight.state === 'slow') this.slow--
    else this.uncount(flight)
    if (flight.state === 'fresh' && this.spare > 0) this.deadlines.remove(flight)
    flight.state = 'ended'
  }

  /** Stops counting the statement, if it is still in flight. */
  passOver(flight: Flight): void {
    if (flight.state === 'ended') return
    flight.state = 'slow'
    this.uncount(flight)
    this.slow++
    this.becameSlow()
  }

  private uncount({ rows }: Flight): void {
    this.count--
    this.rows -= rows
  }
}
