/**
 * The options that several commands share. This file imports no TF.js, which a tokenizer does not need;
 * model_options.js has the options of the commands that run a model.
 */
import { readTrustedKeys } from './bundle/signature.js';
import { parseColumns } from './data/columns.js';
import { DEFAULT_ENCODING, ENCODING_NAMES, parseEncoding } from './data/encodings.js';
import { customOption, flagOption, requiredOption, textOption } from './support/options.js';

/** `--bundle` of a command that does not run without one. */
export const requiredBundleOption = requiredOption({ value: 'DIR', help: 'the bundle' });

/** `--require-signature`; its value is the text of the keys. */
export const signatureOption = customOption({
  value: 'FILE',
  help: 'refuses what none of the public keys (PEM) in FILE has signed',
  parse: readTrustedKeys,
});

/** `--encoding` of what is read. */
export const encodingOption = customOption({
  value: 'NAME',
  help: 'of the texts',
  default: DEFAULT_ENCODING,
  names: ENCODING_NAMES,
  parse: parseEncoding,
});

/** `--columns`, by order or by name. @param {string} help */
export function columnsOption(help) {
  return customOption({ value: 'LIST', help, parse: parseColumns });
}

/** `--jsonl`. @param {string} [more] what else the command does with the objects */
export function jsonLinesOption(more) {
  const help = 'each line of stdin is an object with `text`, or `sentence1` and `sentence2`, or other usual names for these';
  return flagOption(more === undefined ? help : `${help}; ${more}`);
}

export const noSpecialTokensOption = flagOption('without [CLS] and [SEP]');

/**
 * `--max-length` as it was typed: what it may be at most is known when the bundle is open.
 *
 * @param {string} defaultText
 */
export function maxLengthOption(defaultText) {
  return textOption({ value: 'N', help: 'positions a text may take, special tokens counted', defaultText });
}

export const jsonOption = flagOption('prints the result as JSON');
