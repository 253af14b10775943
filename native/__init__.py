"""Builds tfjs-node's binding against the TensorFlow of this Python environment.

The recipe that npm's own installation follows downloads a TensorFlow from a place that many
networks do not reach. This one compiles tfjs-node's two C++ files against the library that Python
runs, with the Node-API headers that npm ships: no make, no node-gyp, no headers of one Node.
Node-API keeps its promises over versions, so one binding serves Node 20, 22 and 24.
"""
