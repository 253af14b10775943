/**
 * The errors that reach a person: one line on stderr and an exit code, never a stack trace.
 * Exit codes: 0 success; 1 drift, or a failed check; 2 a mistake of the user; 3 a problem of the
 * machine; 70 a defect of this program, whose stack BERT_BRIDGE_DEBUG=1 shows.
 */

import { toPrintable } from './printable.js';

/** An error whose message is written for people: one line, whatever the untrusted names and paths in it hold. */
class ReportedError extends Error {
  /**
   * @param {string} [message]
   * @param {string} [option] an option of the library that the message names in backticks; a
   *   command prints its own name for it
   */
  constructor(message, option) {
    super(message === undefined ? undefined : toPrintable(message, Infinity));
    this.option = option;
  }
}

/** A mistake of the user. The message says what was found, what was expected, where, and how to fix it. */
export class UserError extends ReportedError {
  exitCode = 2;
}

/** A problem of this machine: the disk, a missing program or library. */
export class EnvironmentProblem extends ReportedError {
  exitCode = 3;
}

/** A check ran and failed: numbers drifted, or a bundle is not what it says it is. */
export class CheckFailed extends ReportedError {
  exitCode = 1;
}

/**
 * @template T
 * @param {() => T} work
 * @returns {T | UserError} what `work` returns, or the UserError that it throws
 */
export function catchUserError(work) {
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
 * @throws {UserError} the UserError that `work` throws, with `where` before its message
 */
export function withLocation(where, work) {
  const done = catchUserError(work);
  if (done instanceof UserError) throw new UserError(`${where}: ${done.message}`, done.option);
  return done;
}

/** @param {string} message of another program or library, which may have line ends */
export function toOneLine(message) {
  return message.replace(/\s+/g, ' ').trim();
}

/** Exit code of a defect of this program: EX_SOFTWARE of sysexits.h. */
export const INTERNAL = 70;
const USER = 2;
const MACHINE = 3;

/** @type {Record<string, [number, string, string]>} by the code of a system error: exit code, reason, remedy */
const SYSTEM_ERRORS = {
  EACCES: [USER, 'permission denied', 'give another place'],
  EPERM: [USER, 'operation not permitted', 'give another place'],
  ENOENT: [USER, 'there is no such place', 'give another one'],
  ENOTDIR: [USER, 'a part of the path is a file', 'give another place'],
  EISDIR: [USER, 'it is a directory', 'give a file'],
  EEXIST: [USER, 'something is there already', 'give another place'],
  ENOTEMPTY: [USER, 'the directory is not empty', 'give another place'],
  EINVAL: [USER, 'this place does not take it', 'give another place'],
  ENAMETOOLONG: [USER, 'the name is too long', 'give a shorter one'],
  ELOOP: [USER, 'its links go round in a circle', 'give another place'],
  ENXIO: [USER, 'it is a socket, or a device that is not there', 'give a file'],
  ENODEV: [USER, 'it is no file that can be used so', 'give a file'],
  ESPIPE: [USER, 'it is a pipe', 'give a file'],
  EROFS: [MACHINE, 'the file system is read-only', 'give another place'],
  ENOSPC: [MACHINE, 'the disk is full', 'give another place or make room'],
  EDQUOT: [MACHINE, 'the quota of disk space is used up', 'give another place or make room'],
  EFBIG: [MACHINE, 'the file is too large for this place', 'give another place, or raise the limit of file sizes (ulimit -f)'],
  EIO: [MACHINE, 'the disk or the device fails', 'give another place'],
  ENOMEM: [MACHINE, 'there is not enough memory', 'give it more, or less to do'],
  EMFILE: [MACHINE, 'too many files are open', 'raise the limit of open files (ulimit -n)'],
  ENFILE: [MACHINE, 'too many files are open on this machine', 'try again later'],
  EAGAIN: [MACHINE, 'the system has no more of it for now', 'try again later'],
  EBUSY: [MACHINE, 'it is in use', 'try again later'],
  ETXTBSY: [MACHINE, 'it is a program that runs', 'try again later'],
  ERR_STRING_TOO_LONG: [MACHINE, 'a text is too long for Node', 'give less at a time'],
  ERR_FS_FILE_TOO_LARGE: [MACHINE, 'a file is too large for Node', 'give less at a time'],
  ERR_MEMORY_ALLOCATION_FAILED: [MACHINE, 'there is not enough memory', 'give it more, or less to do'],
  ERR_WORKER_OUT_OF_MEMORY: [MACHINE, 'there is not enough memory', 'give it more, or fewer --workers'],
};

/** The messages of V8 when there is no memory for an array or a string. */
const NO_MEMORY =
  /allocation failed|Invalid (typed array|array buffer|array|string) length|^Cannot create a (Buffer|string) larger/i;

/**
 * The line and the exit code for any error.
 *
 * @param {unknown} error
 * @returns {{line: string, exitCode: number}} `line` without `error: `
 */
export function describeFailure(error) {
  const known =
    /** @type {{exitCode?: number, code?: string, path?: string, syscall?: string, message?: unknown, name?: string, stack?: string}} */ (
      typeof error === 'object' && error !== null ? error : { message: String(error) }
    );
  const message = String(known.message ?? '');
  if (known.exitCode !== undefined) return { line: message, exitCode: known.exitCode };
  const code = NO_MEMORY.test(message) && known.name === 'RangeError' ? 'ENOMEM' : (known.code ?? '');
  const where = typeof known.path === 'string' ? ` at ${known.path}` : '';
  if (Object.hasOwn(SYSTEM_ERRORS, code)) {
    const [exitCode, reason, remedy] = SYSTEM_ERRORS[code];
    return { line: `${reason}${where} (${code}); ${remedy}`, exitCode };
  }
  if (known.syscall !== undefined) return { line: `the system refuses ${known.syscall}${where} (${code})`, exitCode: MACHINE };
  const at = /\(?((?:file:|\/)[^\s()]*:\d+):\d+\)?/
    .exec((known.stack ?? '').replace(message, ''))?.[1]
    .split('/')
    .at(-1);
  return {
    line:
      `internal error, please report it: ${known.name ?? 'Error'}: ${message.replace(/\s+/g, ' ')}` +
      `${at === undefined ? '' : ` (${at})`}; BERT_BRIDGE_DEBUG=1 shows where`,
    exitCode: INTERNAL,
  };
}
