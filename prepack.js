/** What `npm pack` runs first: writes the type declarations. On a fresh clone it installs the compiler before. */
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';

const cwd = dirname(fileURLToPath(import.meta.url));
const TYPES = new URL('types/', import.meta.url);
const TSC = 'node_modules/typescript/bin/tsc';

if (!existsSync(new URL(TSC, import.meta.url))) {
  // On Windows npm is a script, which needs a shell.
  run('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund'], process.platform === 'win32');
}
rmSync(TYPES, { recursive: true, force: true });
run(process.execPath, [TSC, '-p', 'tsconfig.types.json']);
// TypeScript takes the format of a declaration from the package.json around it. Without a copy that says
// CommonJS, it lets no CommonJS program import this package under `"module": "node16"`.
const declarations = readdirSync(TYPES);
for (const name of declarations) cpSync(new URL(name, TYPES), new URL(`commonjs/${name}`, TYPES), { recursive: true });
writeFileSync(new URL('commonjs/package.json', TYPES), '{ "type": "commonjs" }\n');

/**
 * Runs a program; where it fails, ends with its exit code. What it prints goes to stderr: the stdout of
 * `npm pack` is the name of the packed file.
 *
 * @param {string} program
 * @param {string[]} args
 * @param {boolean} [shell]
 */
function run(program, args, shell = false) {
  const { status } = spawnSync(program, args, { cwd, stdio: ['inherit', process.stderr, 'inherit'], shell });
  if (status !== 0) process.exit(status ?? 3);
}
