/**
 * How the person who reads a message types a command. In a clone commands are `node node_bridge/train.js`
 * or `nox -s export`, and so messages are written. The command `bert-bridge` sets BERT_BRIDGE_COMMAND to
 * what was typed for it; then messages name the same commands by that. support/command_names.py does this
 * in Python.
 */
const PROGRAMS = 'encode|evaluate|predict|tokenize|train|verify';
const SESSIONS = 'export|native|parity';
/** Subcommands of `export` that are commands of their own. */
const SUBCOMMANDS = 'build|catalog|inspect|vocab';

/** The name of the command `bert-bridge` as it was typed, or undefined in a clone. @returns {string | undefined} */
export function launcherName() {
  return process.env.BERT_BRIDGE_COMMAND || undefined;
}

/**
 * A message of this program with all commands as the person types them.
 *
 * @param {string} text
 * @returns {string} in a clone the same text
 */
export function asTyped(text) {
  const name = launcherName();
  if (name === undefined) return text;
  return text
    .replace(new RegExp(`\\bnode node_bridge/(${PROGRAMS})\\.js\\b`, 'g'), `${name} $1`)
    .replace(new RegExp(`(?<![\\w./\\\\-])(${PROGRAMS})\\.js\\b`, 'g'), `${name} $1`)
    .replace(new RegExp(`\\bnox -s export -- (${SUBCOMMANDS})\\b`, 'g'), `${name} $1`)
    .replace(new RegExp(`\\bnox -s (${SESSIONS})\\b(?: --(?= ))?`, 'g'), `${name} $1`);
}
