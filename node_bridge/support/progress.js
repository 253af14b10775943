/**
 * Shows the progress of a long step on stderr: a bar on a terminal, a line every few seconds in a log.
 */
import cliProgress from 'cli-progress';

/** The time between two lines of a log. */
const SECONDS_A_LINE = 3;

/**
 * @typedef {object} Progress
 * @property {(count: number) => void} advance
 * @property {(note?: string) => void} done prints the total and the time
 * @property {() => void} stop removes the bar; call it in a `finally`, or its timer keeps the program running
 */

/**
 * @param {string} title
 * @param {number} total
 * @param {{stream?: NodeJS.WriteStream, now?: () => number}} [options] `now` in milliseconds
 * @returns {Progress}
 */
export function startProgress(title, total, { stream = process.stderr, now = () => performance.now() } = {}) {
  const start = now();
  const { step, stop } = stream.isTTY ? startBar(title, total, stream) : startLog(title, total, stream, now);
  return {
    advance: step,
    stop,
    done(note = '') {
      stop();
      const seconds = ((now() - start) / 1000).toFixed(1);
      stream.write(`${title}: ${total} in ${seconds} s${note === '' ? '' : `, ${note}`}\n`);
    },
  };
}

/** @param {string} title @param {number} total @param {NodeJS.WriteStream} stream */
function startBar(title, total, stream) {
  const progressBar = new cliProgress.SingleBar({
    stream,
    format: `${title} {bar} {percentage} % | {value}/{total} | {eta_formatted} left`,
    barsize: 28,
    clearOnComplete: true,
    stopOnComplete: false,
    hideCursor: false,
    linewrap: true, // cli-progress turns wrapping off otherwise, and an interrupted program leaves it so
    gracefulExit: false,
  });
  progressBar.start(total, 0);
  return { step: (/** @type {number} */ count) => progressBar.increment(count), stop: () => progressBar.stop() };
}

/**
 * @param {string} title
 * @param {number} total how many steps there are
 * @param {NodeJS.WriteStream} stream
 * @param {() => number} now the clock, in milliseconds
 */
function startLog(title, total, stream, now) {
  const start = now();
  let last = start;
  let count = 0;
  return {
    step(/** @type {number} */ more) {
      count += more;
      if (count >= total || now() - last < SECONDS_A_LINE * 1000) return;
      last = now();
      const rate = count / ((last - start) / 1000);
      const secondsLeft = Math.ceil((total - count) / rate);
      stream.write(`${title}: ${Math.floor((100 * count) / total)} % (${count}/${total}), ${secondsLeft} s left\n`);
    },
    stop() {},
  };
}
