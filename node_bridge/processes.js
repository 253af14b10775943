/** Other processes of this machine. */

/**
 * Whether a process of this number runs, so that what it has begun is not to be touched.
 *
 * @param {number} pid
 */
export function isRunning(pid) {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    // A number that no process can have is as good as one that has ended.
    return /** @type {NodeJS.ErrnoException} */ (error).code === 'EPERM';
  }
}
