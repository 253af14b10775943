import { listAssets, listGraphs, listInitializers, collectStrings, listTensorNames } from './messages.js';

/**
 * Who reaches whom in a SavedModel's main graph and its library of functions.
 *
 * @typedef {import('./messages.js').Message} Message
 * @typedef {Map<string, Message>} Nodes by name
 */

/** The node or argument of a reference such as `node:out:0`, `node:0` or `^node`. @param {string} reference */
function nodeNameOf(reference) {
  return reference.replace(/^\^/, '').split(':')[0];
}

/** The inputs of a node that carry values, in order. @param {Message} node @returns {string[]} */
function listDataInputs(node) {
  return node.input.filter((/** @type {string} */ reference) => !reference.startsWith('^')).map(nodeNameOf);
}

/** The node or argument that a value comes from, through identities. @param {Nodes} nodes @param {string} name */
function traceSource(nodes, name) {
  const seen = new Set();
  for (let at = name; ; ) {
    const node = nodes.get(at);
    if (node?.op !== 'Identity' || seen.has(at)) return at;
    seen.add(at);
    at = listDataInputs(node)[0] ?? '';
  }
}

/** The names of these nodes and of all that they depend on. @param {Nodes} nodes @param {Iterable<string>} starts */
function collectUpstream(nodes, starts) {
  const waiting = [...starts].map(nodeNameOf);
  /** @type {Set<string>} */
  const found = new Set();
  for (let name = waiting.pop(); name !== undefined; name = waiting.pop()) {
    const node = nodes.get(name);
    if (node === undefined || found.has(name)) continue;
    found.add(name);
    for (const source of node.input) waiting.push(nodeNameOf(source));
  }
  return found;
}

/**
 * The functions of these names, those that the nodes name, and all that these name in turn.
 *
 * @param {Map<string, Message[]>} functions the nodes of each
 * @param {Iterable<string>} names
 * @param {Iterable<Message>} [nodes]
 */
function collectReachedFunctions(functions, names, nodes = []) {
  const waiting = [...names, ...[...nodes].flatMap(listNamedFunctions)];
  /** @type {Set<string>} */
  const found = new Set();
  for (let name = waiting.pop(); name !== undefined; name = waiting.pop()) {
    const body = functions.get(name);
    if (body === undefined || found.has(name)) continue;
    found.add(name);
    for (const node of body) for (const other of listNamedFunctions(node)) waiting.push(other);
  }
  return found;
}

/** The functions that a node names in its attributes, however deep. @param {Message} node @returns {string[]} */
function listNamedFunctions(node) {
  const waiting = Object.values(node.attr);
  const names = [];
  for (let attribute = waiting.pop(); attribute !== undefined; attribute = waiting.pop()) {
    const { case: kind, value } = attribute.value;
    const functions = kind === 'func' ? [value] : kind === 'list' ? value.func : [];
    for (const { name, attr } of functions) {
      if (name !== '') names.push(name);
      for (const inner of Object.values(attr)) waiting.push(inner);
    }
  }
  return names;
}

// The ops that a SavedModel cannot do without although they read or write files, and their place.
// The rules are those of Python's exporter (export/source/file_ops.py), and as strict:
//
// - `SaveV2`, `MergeV2Checkpoints` and `RestoreV2` stand in every SavedModel: its saver. What
//   restores runs when a model is loaded: it may not write, and reads only from the file name that
//   the loader gives. Reached from anything else, they would work on any file at all.
// - `InitializeTableFromTextFile` reads a vocab. Its file name must come from an asset, passed on
//   from call to call as an argument, and nothing that runs after loading may reach it.

const READER = 'RestoreV2';
const SAVERS = new Set(['SaveV2', 'MergeV2Checkpoints', READER]);
const TABLES = new Set(['InitializeTableFromTextFile', 'InitializeTableFromTextFileV2']);
const CALLS = new Set(['PartitionedCall', 'StatefulPartitionedCall']);
const VARIABLE_USES = new Set(['AssignVariableOp', 'ReadVariableOp', 'VarIsInitializedOp']);
/** Nodes of one output whose value a loader replaces. */
const REPLACED_BY_LOADER = new Set(['Const', 'Placeholder', 'PlaceholderWithDefault']);
const LOCAL_VARIABLES = 'local_variables';
/** What a loader runs with the assets' paths given: these outputs, and what any collection lists. */
const INIT_SIGNATURE = '__saved_model_init_op';
/** Grappler may put a function in the place of another that has the same value here. */
const SWAPPED_BY = 'api_implements';
const MAIN = '';
/** Stands for an input whose origin is not followed; no node and no argument is called so. */
const UNKNOWN = '<unknown>';

/**
 * Each file op away from its place, in words.
 *
 * @param {Message} metaGraph
 * @returns {string[]}
 */
export function findMisplacedFileOps(metaGraph) {
  const program = new Program(metaGraph);
  return [...findMisplacedSavers(program), ...findForeignRestores(program), ...findMisplacedTables(program)];
}

/** A meta graph, and what is asked of it more than once. */
class Program {
  /** @param {Message} metaGraph */
  constructor(metaGraph) {
    this.metaGraph = metaGraph;
    const library = metaGraph.graphDef?.library;
    /** @type {Message[]} */
    const functions = library?.function ?? [];
    /** @type {Map<string, Nodes>} the nodes of the main graph, under MAIN, and of each function */
    this.functions = new Map(
      listGraphs(metaGraph).map(([name, nodes]) => [name, new Map(nodes.map((node) => [node.name, node]))]),
    );
    this.main = /** @type {Nodes} */ (this.functions.get(MAIN));
    /** @type {Map<string, string[]>} of each function that takes one tensor for each of them */
    this.arguments = new Map();
    for (const { signature } of functions) {
      const inputs = signature?.inputArg ?? [];
      if (inputs.some((/** @type {Message} */ one) => one.numberAttr !== '' || one.typeListAttr !== '')) continue;
      this.arguments.set(
        signature?.name ?? '',
        inputs.map((/** @type {Message} */ one) => one.name),
      );
    }
    /** @type {Map<string, {node: Message, called: Set<string>}[]>} by function, its nodes that name functions */
    this.calls = new Map();
    for (const [name, nodes] of this.functions) {
      const calls = [...nodes.values()].map((node) => ({ node, called: new Set(listNamedFunctions(node)) }));
      this.calls.set(
        name,
        calls.filter(({ called }) => called.size > 0),
      );
    }
    /** @type {Map<string, Message[]>} */
    this.callers = new Map([...this.calls].map(([name, calls]) => [name, calls.map(({ node }) => node)]));
    this.callable = this.#callable(functions, library);
    this.saver = metaGraph.saverDef ?? { filenameTensorName: '', saveTensorName: '', restoreOpName: '' };
    /** The nodes of the main graph that restoring runs. */
    this.restores = collectUpstream(this.main, [this.saver.restoreOpName]);
  }

  /**
   * The functions that Python, a gradient or an optimizer can call, by any name they have: those
   * that any object, gradient or attribute of a function names. Which field names a function is
   * not asked: an object may name one in five ways.
   *
   * @param {Message[]} functions
   * @param {Message} library
   * @returns {Set<string>}
   */
  #callable(functions, library) {
    const named = collectStrings(this.metaGraph.objectGraphDef);
    for (const { gradientFunc } of [...(library?.gradient ?? []), ...(library?.registeredGradients ?? [])])
      named.add(gradientFunc);
    for (const { attr, signature } of functions) {
      for (const value of Object.values(attr)) collectStrings(value, named);
      if (Object.hasOwn(attr, SWAPPED_BY)) named.add(signature?.name ?? '');
    }
    return new Set([...named].filter((name) => name !== MAIN && this.functions.has(name)));
  }

  /** The outputs of signatures that are run when a model is used. @returns {string[]} */
  get results() {
    return Object.entries(this.metaGraph.signatureDef).flatMap(([key, signature]) =>
      key === INIT_SIGNATURE ? [] : listOutputs(signature),
    );
  }

  /**
   * What a loader runs of the main graph at the start, besides the saver: every node that a
   * collection lists, and what initialises local variables.
   *
   * @returns {string[]}
   */
  get started() {
    const { signatureDef, collectionDef } = this.metaGraph;
    const init = Object.hasOwn(signatureDef, INIT_SIGNATURE) ? listOutputs(signatureDef[INIT_SIGNATURE]) : [];
    const listed = Object.values(collectionDef).flatMap(({ kind }) => (kind.case === 'nodeList' ? kind.value.value : []));
    return [...init, ...listed, ...listInitializers(this.metaGraph, LOCAL_VARIABLES)];
  }

  /**
   * The functions of these names, those that these nodes of the main graph call, and on.
   *
   * @param {{names?: Iterable<string>, nodes?: Set<string>}} starts
   */
  reached({ names = [], nodes = new Set() }) {
    const callers = /** @type {Message[]} */ (this.callers.get(MAIN)).filter(({ name }) => nodes.has(name));
    return collectReachedFunctions(this.callers, names, callers);
  }
}

/** @param {Message} signature @returns {string[]} */
function listOutputs({ outputs }) {
  return Object.values(outputs).flatMap(listTensorNames);
}

/** Checkpoint ops that something else than the saver reaches. @param {Program} program @returns {Generator<string>} */
function* findMisplacedSavers(program) {
  const { main, restores, saver } = program;
  const saves = collectUpstream(main, [saver.saveTensorName]);
  const runByOthers = collectUpstream(main, [...program.results, ...program.started]);
  // Whatever no saver takes could be run by a loader unknown here, if it names a function.
  const others = new Set([...main.keys()].filter((name) => (!saves.has(name) && !restores.has(name)) || runByOthers.has(name)));
  const byOthers = program.reached({ names: program.callable, nodes: others });
  const byRestore = program.reached({ nodes: restores });
  const bySaver = new Set([...byRestore, ...program.reached({ nodes: saves })]);

  for (const [name, nodes] of program.functions) {
    for (const node of nodes.values()) {
      if (!SAVERS.has(node.op)) continue;
      const isMisplaced = name === MAIN ? runByOthers.has(node.name) : !bySaver.has(name) || byOthers.has(name);
      const inRestore = name === MAIN ? restores.has(node.name) : byRestore.has(name);
      if (isMisplaced || (inRestore && node.op !== READER)) yield `op ${node.op} outside the saver${formatLocation(name)}`;
    }
  }
}

/** Ops that loading a model runs, and that restore from another file than the model's own. @param {Program} program @returns {Generator<string>} */
function* findForeignRestores(program) {
  const fileNameNode = nodeNameOf(program.saver.filenameTensorName);
  const files = traceFileNames(program, new Set([READER]), 0);
  const read = new Set(files.inMain.filter(({ node }) => program.restores.has(node)).map(({ origin }) => origin));
  const isOwnFile = REPLACED_BY_LOADER.has(findOp(program.main, fileNameNode)) && read.size === 1 && read.has(fileNameNode);
  if (files.unknown !== undefined || (read.size > 0 && !isOwnFile)) {
    yield `op ${READER} on another file than the model's own${formatLocation(files.unknown?.where ?? '')}`;
  }
}

/** Tables that are read from a file that is no asset. @param {Program} program @returns {Generator<string>} */
function* findMisplacedTables(program) {
  const files = traceFileNames(program, TABLES, 1);
  // These run without the assets' paths: a node would give the path that is written in it.
  const later = new Set([...collectUpstream(program.main, program.results), ...program.restores]);
  if (files.unknown !== undefined)
    yield `op ${files.unknown.op}${formatLocation(files.unknown.where)} on a file that is no asset`;
  for (const { node, origin } of files.inMain) {
    if (!isAsset(program, origin)) yield `op ${findOp(program.main, node)} on a file that is no asset`;
    else if (later.has(node)) yield `op ${findOp(program.main, node)} where a signature runs it, not at the start alone`;
  }
  for (const [name, indices] of files.arguments) {
    for (const index of indices) {
      const count = /** @type {string[]} */ (program.arguments.get(name)).length;
      if (!isBoundAsset(program, name, index - count)) yield `function ${name} on a file that is no asset`;
    }
  }
}

/**
 * @typedef {object} FileNames where the file names of some ops come from
 * @property {Map<string, Set<number>>} arguments places in functions that become a file name
 * @property {{node: string, origin: string}[]} inMain nodes of the main graph that take one, each
 *   with the node that it comes from
 * @property {{op: string, where: string}} [unknown] the first op in a function where one is not an
 *   argument passed on
 */

/**
 * Follows an input of these ops back through all calls. The arguments grow by those of callers
 * until the main graph and Python have given them all.
 *
 * @param {Program} program
 * @param {Set<string>} ops
 * @param {number} index of the input
 * @returns {FileNames}
 */
function traceFileNames(program, ops, index) {
  /** @type {FileNames} */
  const found = { arguments: new Map(), inMain: [] };
  for (let grew = true; grew; ) {
    grew = false;
    found.inMain = [];
    for (const [name, nodes] of program.functions) {
      for (const { node, source } of listFileNameUsers(program, name, ops, index, found.arguments)) {
        const origin = traceSource(nodes, source);
        if (name === MAIN) {
          found.inMain.push({ node: node.name, origin });
          continue;
        }
        const argument = nodes.has(origin) ? -1 : (program.arguments.get(name) ?? []).indexOf(origin);
        if (argument === -1) return { ...found, unknown: { op: node.op, where: name } };
        const indices = found.arguments.get(name) ?? new Set();
        grew ||= !indices.has(argument);
        found.arguments.set(name, indices.add(argument));
      }
    }
  }
  return found;
}

/**
 * The nodes of a graph that take a file name, or call a function that does, each with the input.
 *
 * @param {Program} program
 * @param {string} name of the function
 * @param {Set<string>} ops
 * @param {number} index of the input of these ops
 * @param {FileNames['arguments']} fileNameArguments
 * @returns {{node: Message, source: string}[]}
 */
function listFileNameUsers(program, name, ops, index, fileNameArguments) {
  const found = [];
  for (const node of /** @type {Nodes} */ (program.functions.get(name)).values()) {
    if (ops.has(node.op)) found.push({ node, source: listDataInputs(node)[index] ?? UNKNOWN });
  }
  for (const { node, called } of program.calls.get(name) ?? []) {
    const inputs = listDataInputs(node);
    for (const other of called) {
      for (const index of fileNameArguments.get(other) ?? []) {
        // How a branch or a loop passes its arguments on is not followed.
        found.push({ node, source: (CALLS.has(node.op) ? inputs[index] : undefined) ?? UNKNOWN });
      }
    }
  }
  return found;
}

/** Whether a node of the main graph is an asset's path, or a variable that only holds one. @param {Program} program @param {string} name */
function isAsset({ main, metaGraph }, name) {
  const listed = listAssets(metaGraph).map(({ tensorInfo }) =>
    nodeNameOf(tensorInfo?.encoding.case === 'name' ? tensorInfo.encoding.value : ''),
  );
  // Of a node with several outputs, the loader replaces but one.
  const assets = new Set(listed.filter((asset) => REPLACED_BY_LOADER.has(findOp(main, asset))));
  if (assets.has(name)) return true;
  if (findOp(main, name) !== 'ReadVariableOp') return false;
  const variable = listDataInputs(main.get(name))[0] ?? UNKNOWN;
  const users = [...main.values()].filter((node) => listDataInputs(node).includes(variable));
  const written = users
    .filter(({ op }) => op === 'AssignVariableOp')
    .map((node) => traceSource(main, /** @type {string} */ (listDataInputs(node).at(-1))));
  return users.every(({ op }) => VARIABLE_USES.has(op)) && written.length > 0 && written.every((one) => assets.has(one));
}

/**
 * Whether what Python binds to an argument, counted from the last, is an asset. A function that
 * Python cannot call is bound to nothing.
 *
 * @param {Program} program
 * @param {string} name of the function
 * @param {number} fromEnd -1 for the last
 */
function isBoundAsset({ callable, metaGraph, arguments: all }, name, fromEnd) {
  if (!callable.has(name)) return true;
  const { concreteFunctions = {}, nodes = [] } = metaGraph.objectGraphDef ?? {};
  if (!Object.hasOwn(concreteFunctions, name)) return false;
  const bound = concreteFunctions[name].boundInputs;
  if (bound.length < -fromEnd || bound.length > (all.get(name) ?? []).length) return false;
  const thing = nodes[bound.at(fromEnd)];
  // A registered name decides what the object becomes, whatever kind it says it is of.
  return thing?.kind.case === 'asset' && thing.registeredName === '';
}

/** The op of the node of this name, or nothing. @param {Nodes} nodes @param {string} name @returns {string} */
function findOp(nodes, name) {
  return nodes.get(name)?.op ?? '';
}

/** Where, in words. @param {string} name of a function */
function formatLocation(name) {
  return name === MAIN ? '' : ` in ${name}`;
}
