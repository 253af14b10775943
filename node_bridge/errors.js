/**
 * The errors that reach a person: one line on stderr and an exit code, never a stack trace.
 * Exit codes: 0 good, 1 drift or a failed check, 2 the user's mistake, 3 the environment;
 * 70 a defect of the program itself (failures.js), whose stack BERT_BRIDGE_DEBUG=1 shows.
 */

/** An error that is said to a person in its own words. */
class SaidError extends Error {
  /**
   * @param {string} [message]
   * @param {string} [option] an option of the library that the message names in backticks; a
   *   command says its own name for it
   */
  constructor(message, option) {
    super(message);
    this.option = option;
  }
}

/** A mistake in what was given: says what was got, what was expected, where, how to fix it. */
export class UserError extends SaidError {
  exitCode = 2;
}

/** Something about this machine stands in the way: the disk, a missing program or library. */
export class EnvironmentProblem extends SaidError {
  exitCode = 3;
}

/** A check ran and failed: numbers drifted, a bundle does not hold what it promises. */
export class CheckFailed extends SaidError {
  exitCode = 1;
}

/**
 * @template T
 * @param {() => T} work
 * @returns {T | UserError} what it gives, or the mistake that it finds
 */
export function attempted(work) {
  try {
    return work();
  } catch (error) {
    if (error instanceof UserError) return error;
    throw error;
  }
}

/**
 * @template T
 * @param {string} where such as `file.jsonl:3`
 * @param {() => T} work
 * @returns {T}
 * @throws {UserError} the mistake that `work` finds, with its place before it
 */
export function located(where, work) {
  const done = attempted(work);
  if (done instanceof UserError) throw new UserError(`${where}: ${done.message}`, done.option);
  return done;
}

/** @param {string} message of somebody else's, which may have line ends */
export function oneLine(message) {
  return message.replace(/\s+/g, ' ').trim();
}
