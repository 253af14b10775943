"""Builds tfjs-node's binding against the TensorFlow of this Python environment.

npm's installation of tfjs-node downloads TensorFlow from a host that many networks cannot reach.
This build compiles tfjs-node's two C++ files against the library that Python uses, with the
Node-API headers from npm: it needs no make, no node-gyp and no headers of one Node version.
Node-API is stable across versions, so one binding works in Node 20, 22 and 24.
"""
