/** The directory of an evaluation: the figures, the page, and the texts that were labelled wrongly. */
import { join } from 'node:path';

import { UserError } from '../../support/errors.js';
import { readInput } from '../../support/files.js';
import { isObject, parseJson } from '../../support/json.js';
import { assertWritable, writeDirectory } from '../../support/output_directory.js';
import { toJsonLine } from '../../support/printable.js';

const FIGURES = 'evaluation.json';
const PAGE = 'evaluation.html';
export const WRONG_TEXTS = 'errors.jsonl';
export const FORMAT = 'bert-bridge-evaluation';
/** The largest figures in bytes: with 10,000 labels they have a few MB. */
const MAX_FILE_BYTES = 2 ** 28;

/** @type {import('../../support/output_directory.js').DirectoryKind} */
const EVALUATION_DIRECTORY = { marker: FIGURES, filesOf: listFiles };

/** @param {string} dir @throws {UserError} the file is of another program */
function listFiles(dir) {
  const path = join(dir, FIGURES);
  const document = parseJson(readInput(path, MAX_FILE_BYTES), path);
  if (!isObject(document) || document.format !== FORMAT) throw new UserError(`${path} is not of evaluate.js`);
  return [FIGURES, PAGE, WRONG_TEXTS];
}

/**
 * Checks, before the work, that an evaluation can be written here.
 *
 * @param {string} dir
 * @throws {UserError} it is a file, or has files of others
 */
export function assertEvaluationDirectory(dir) {
  assertWritable(dir, EVALUATION_DIRECTORY);
}

/**
 * Writes an evaluation, whole or not at all; an earlier one is replaced.
 *
 * @param {string} dir
 * @param {{document: object, page: string, wrong: object[]}} evaluation
 */
export function writeEvaluation(dir, { document, page, wrong }) {
  const lines = Buffer.concat(wrong.map((one) => Buffer.from(`${toJsonLine(one)}\n`)));
  writeDirectory(dir, { [FIGURES]: `${toJsonLine(document)}\n`, [PAGE]: page, [WRONG_TEXTS]: lines }, EVALUATION_DIRECTORY);
}
