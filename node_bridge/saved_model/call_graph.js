/**
 * Who reaches whom in a SavedModel's main graph and its library of functions.
 *
 * @typedef {import('./messages.js').Message} Message
 * @typedef {Map<string, Message>} Nodes by name
 */

/** The node or argument of a reference such as `node:out:0`, `node:0` or `^node`. @param {string} reference */
export function plain(reference) {
  return reference.replace(/^\^/, '').split(':')[0];
}

/** The inputs of a node that carry values, in order. @param {Message} node @returns {string[]} */
export function dataInputs(node) {
  return node.input.filter((/** @type {string} */ reference) => !reference.startsWith('^')).map(plain);
}

/** The node or argument that a value comes from, through identities. @param {Nodes} nodes @param {string} name */
export function traced(nodes, name) {
  const seen = new Set();
  for (let at = name; ; ) {
    const node = nodes.get(at);
    if (node?.op !== 'Identity' || seen.has(at)) return at;
    seen.add(at);
    at = dataInputs(node)[0] ?? '';
  }
}

/** The names of these nodes and of all that they depend on. @param {Nodes} nodes @param {Iterable<string>} starts */
export function upstream(nodes, starts) {
  const waiting = [...starts].map(plain);
  /** @type {Set<string>} */
  const found = new Set();
  for (let name = waiting.pop(); name !== undefined; name = waiting.pop()) {
    const node = nodes.get(name);
    if (node === undefined || found.has(name)) continue;
    found.add(name);
    for (const source of node.input) waiting.push(plain(source));
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
export function reached(functions, names, nodes = []) {
  const waiting = [...names, ...[...nodes].flatMap(namedIn)];
  /** @type {Set<string>} */
  const found = new Set();
  for (let name = waiting.pop(); name !== undefined; name = waiting.pop()) {
    const body = functions.get(name);
    if (body === undefined || found.has(name)) continue;
    found.add(name);
    for (const node of body) for (const other of namedIn(node)) waiting.push(other);
  }
  return found;
}

/** The functions that a node names in its attributes, however deep. @param {Message} node @returns {string[]} */
export function namedIn(node) {
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
