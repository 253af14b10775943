/**
 * The TF.js of node_bridge, which puts it here before it loads tfjs-node: with a second copy of
 * the core the backend would register where nobody looks.
 */
module.exports = globalThis[Symbol.for('bert-bridge.tfjs')];
