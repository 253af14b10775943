/**
 * The errors that reach a person: one line on stderr and an exit code, never a stack trace.
 * Exit codes: 0 good, 1 drift or a failed check, 2 the user's mistake, 3 the environment.
 */

/** A mistake in what was given: says what was got, what was expected, where, how to fix it. */
export class UserError extends Error {
  exitCode = 2;
}

/** Something about this machine stands in the way: the disk, a missing program or library. */
export class EnvironmentProblem extends Error {
  exitCode = 3;
}

/** A check ran and failed: numbers drifted, a bundle does not hold what it promises. */
export class CheckFailed extends Error {
  exitCode = 1;
}
