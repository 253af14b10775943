import { listAssets, listGraphs, listInitializers, collectStrings, listTensorNames } from './messages.js';

/**
 * @typedef {import('./messages.js').Message} Message
 * @typedef {Map<string, Message>} Nodes by name
 */

// Walks through the main graph of a SavedModel and its library of functions.

/** The node or argument of a reference such as `node:out:0`, `node:0` or `^node`. @param {string} reference */
function nodeNameOf(reference) {
  return reference.replace(/^\^/, '').split(':')[0];
}

/** The data inputs of a node in order, without control inputs. @param {Message} node @returns {string[]} */
function listDataInputs(node) {
  return node.input.filter((/** @type {string} */ reference) => !reference.startsWith('^')).map(nodeNameOf);
}

/** The node or argument that a value comes from; `Identity` nodes are passed. @param {Nodes} nodes @param {string} name */
function traceSource(nodes, name) {
  const seen = new Set();
  for (let at = name; ; ) {
    const node = nodes.get(at);
    if (node?.op !== 'Identity' || seen.has(at)) return at;
    seen.add(at);
    at = listDataInputs(node)[0] ?? '';
  }
}

/** The names of these nodes and of all nodes that they depend on. @param {Nodes} nodes @param {Iterable<string>} starts */
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
 * Collects the functions with these names, those that the nodes name, and all that these name in turn.
 *
 * @param {Map<string, Message[]>} functions the nodes of each function
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

/** The functions that a node names in its attributes, at any depth. @param {Message} node @returns {string[]} */
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

// Some ops read or write files, but a SavedModel needs them. They are allowed in one position only.
// Python's exporter has the same rules (export/source/file_ops.py):
//
// - `SaveV2`, `MergeV2Checkpoints` and `RestoreV2` are in every SavedModel: they are its saver. The
//   restore part runs when a model is loaded. It must not write, and may read only from the file
//   name that the loader sets. Reached from anything else, these ops could use any file.
// - `InitializeTableFromTextFile` reads a vocab. Its file name must come from an asset, passed from
//   call to call as an argument. Nothing that runs after loading may reach this op.

const READER = 'RestoreV2';
const SAVERS = new Set(['SaveV2', 'MergeV2Checkpoints', READER]);
const TABLES = new Set(['InitializeTableFromTextFile', 'InitializeTableFromTextFileV2']);
const CALLS = new Set(['PartitionedCall', 'StatefulPartitionedCall']);
const VARIABLE_USES = new Set(['AssignVariableOp', 'ReadVariableOp', 'VarIsInitializedOp']);
/** Ops with one output; a loader replaces the value of such a node. */
const REPLACED_BY_LOADER = new Set(['Const', 'Placeholder', 'PlaceholderWithDefault']);
const LOCAL_VARIABLES = 'local_variables';
/** A loader sets the paths of assets, then runs the outputs of this signature, and all that a collection lists. */
const INIT_SIGNATURE = '__saved_model_init_op';
/** Grappler may replace a function by another one with the same value of this attribute. */
const SWAPPED_BY = 'api_implements';
const MAIN = '';
/** Means an input whose origin is not followed; no node and no argument has this name. */
const UNKNOWN = '<unknown>';

/**
 * Finds each file op in a position where it is not allowed.
 *
 * @param {Message} metaGraph
 * @returns {string[]} a message for each
 */
export function findMisplacedFileOps(metaGraph) {
  const program = new Program(metaGraph);
  return [...findMisplacedSavers(program), ...findForeignRestores(program), ...findMisplacedTables(program)];
}

/** A meta graph with indexes of its nodes, functions and calls. */
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
    /** @type {Map<string, string[]>} the argument names of each function whose arguments are one tensor each */
    this.arguments = new Map();
    for (const { signature } of functions) {
      const inputs = signature?.inputArg ?? [];
      if (inputs.some((/** @type {Message} */ one) => one.numberAttr !== '' || one.typeListAttr !== '')) continue;
      this.arguments.set(
        signature?.name ?? '',
        inputs.map((/** @type {Message} */ one) => one.name),
      );
    }
    /** @type {Map<string, {node: Message, called: Set<string>}[]>} the nodes of each function that name other functions */
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
    /** The nodes of the main graph that run when a checkpoint is restored. */
    this.restores = collectUpstream(this.main, [this.saver.restoreOpName]);
  }

  /**
   * The functions that Python, a gradient or an optimizer can call: those that any object, gradient or
   * attribute of a function names. Every string counts as a name, since an object may name a
   * function in five ways.
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

  /** The outputs of the signatures, which run when a model is used. @returns {string[]} */
  get results() {
    return Object.entries(this.metaGraph.signatureDef).flatMap(([key, signature]) =>
      key === INIT_SIGNATURE ? [] : listOutputs(signature),
    );
  }

  /**
   * The nodes of the main graph that a loader runs at the start, besides the saver: every node that
   * a collection lists, and the initializers of local variables.
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
   * The functions with these names, those that these nodes of the main graph call, and all that they call.
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

/** Finds checkpoint ops that something else than the saver can reach. @param {Program} program @returns {Generator<string>} */
function* findMisplacedSavers(program) {
  const { main, restores, saver } = program;
  const saves = collectUpstream(main, [saver.saveTensorName]);
  const runByOthers = collectUpstream(main, [...program.results, ...program.started]);
  // Another loader could run any node that the saver does not use, if the node names a function.
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

/** Finds ops that run at loading and restore from another file than the model's own. @param {Program} program @returns {Generator<string>} */
function* findForeignRestores(program) {
  const fileNameNode = nodeNameOf(program.saver.filenameTensorName);
  const files = traceFileNames(program, new Set([READER]), 0);
  const read = new Set(files.inMain.filter(({ node }) => program.restores.has(node)).map(({ origin }) => origin));
  const isOwnFile = REPLACED_BY_LOADER.has(findOp(program.main, fileNameNode)) && read.size === 1 && read.has(fileNameNode);
  if (files.unknown !== undefined || (read.size > 0 && !isOwnFile)) {
    yield `op ${READER} on another file than the model's own${formatLocation(files.unknown?.where ?? '')}`;
  }
}

/** Finds tables that are read from a file that is no asset. @param {Program} program @returns {Generator<string>} */
function* findMisplacedTables(program) {
  const files = traceFileNames(program, TABLES, 1);
  // These run when the paths of assets are not set: a node would use the path that is written in it.
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
 * @property {Map<string, Set<number>>} arguments for each function, the indices of the arguments that
 *   become a file name
 * @property {{node: string, origin: string}[]} inMain nodes of the main graph that take a file name,
 *   each with the node that it comes from
 * @property {{op: string, where: string}} [unknown] the first op, inside a function, whose file name
 *   is not an argument of this function
 */

/**
 * Follows an input of these ops back through all calls, until every file name comes from the main
 * graph, from Python or from an unknown origin.
 *
 * @param {Program} program
 * @param {Set<string>} ops
 * @param {number} index of the input that is the file name
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
 * Lists the nodes of a graph that take a file name, or call a function that takes one.
 *
 * @param {Program} program
 * @param {string} name of the function
 * @param {Set<string>} ops that take a file name
 * @param {number} index of the input of these ops that is the file name
 * @param {FileNames['arguments']} fileNameArguments the arguments of functions known so far
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
        // The arguments of a branch or a loop are not followed.
        found.push({ node, source: (CALLS.has(node.op) ? inputs[index] : undefined) ?? UNKNOWN });
      }
    }
  }
  return found;
}

/** Whether a node of the main graph is the path of an asset, or a variable that is only ever set to one. @param {Program} program @param {string} name */
function isAsset({ main, metaGraph }, name) {
  const listed = listAssets(metaGraph).map(({ tensorInfo }) =>
    nodeNameOf(tensorInfo?.encoding.case === 'name' ? tensorInfo.encoding.value : ''),
  );
  // If a node has several outputs, the loader replaces only one of them.
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
 * Whether Python binds an asset to an argument, counted from the last one. True for a function that
 * Python cannot call.
 *
 * @param {Program} program
 * @param {string} name of the function
 * @param {number} fromEnd -1 for the last argument
 */
function isBoundAsset({ callable, metaGraph, arguments: all }, name, fromEnd) {
  if (!callable.has(name)) return true;
  const { concreteFunctions = {}, nodes = [] } = metaGraph.objectGraphDef ?? {};
  if (!Object.hasOwn(concreteFunctions, name)) return false;
  const bound = concreteFunctions[name].boundInputs;
  if (bound.length < -fromEnd || bound.length > (all.get(name) ?? []).length) return false;
  const thing = nodes[bound.at(fromEnd)];
  // If an object has a registered name, that name decides its class, not its kind.
  return thing?.kind.case === 'asset' && thing.registeredName === '';
}

/** The op of a node; empty if there is no such node. @param {Nodes} nodes @param {string} name @returns {string} */
function findOp(nodes, name) {
  return nodes.get(name)?.op ?? '';
}

/** The end of a message: in which function. @param {string} name of a function */
function formatLocation(name) {
  return name === MAIN ? '' : ` in ${name}`;
}
