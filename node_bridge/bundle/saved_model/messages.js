/**
 * Reads `saved_model.pb` as protobuf messages, without TensorFlow and without loading anything.
 *
 * The definitions are TensorFlow's own and complete. `definitions.binpb` is the FileDescriptorSet of
 * Python's TensorFlow: `python -m native.definitions` writes it, and a test compares the two.
 */
import { createFileRegistry, fromBinary } from '@bufbuild/protobuf';
import { BinaryReader, WireType } from '@bufbuild/protobuf/wire';
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import { readFileSync } from 'node:fs';

import { UserError } from '../../support/errors.js';
import { packageFile } from '../../support/places.js';

/** The file with the graphs of a SavedModel. */
export const GRAPH_FILE = 'saved_model.pb';
const ASSETS = 'saved_model_assets';
/** How deep messages may be nested; protobuf's own parser has the same limit. */
const MAX_DEPTH = 100;

/**
 * @typedef {any} Message one of TensorFlow's messages: fields in camelCase, a `oneof` as
 *   `{case, value}`, a map as an object
 * @typedef {import('@bufbuild/protobuf').DescMessage} Definition
 * @typedef {import('@bufbuild/protobuf').DescField} Field
 */

/** @type {import('@bufbuild/protobuf').FileRegistry | undefined} */
let registry;

/**
 * @param {Uint8Array} bytes of `saved_model.pb`
 * @param {string} path for an error
 * @returns {Message} `tensorflow.SavedModel`
 * @throws {UserError} the bytes are not such a message, or it has no graph
 */
export function readSavedModel(bytes, path) {
  let savedModel;
  try {
    savedModel = parseMessage('SavedModel', bytes);
  } catch {
    throw new UserError(`${path} is damaged: got bytes that are no SavedModel; export or copy the bundle again`);
  }
  if (savedModel.metaGraphs.length > 0) return savedModel;
  throw new UserError(`${path} is empty: got no graph, expected one; export or copy the bundle again`);
}

/**
 * Parses a message, and makes sure that TensorFlow's C++ reads the same from the bytes.
 *
 * @param {string} name of the message, such as `SavedModel`
 * @param {Uint8Array} bytes
 * @returns {Message}
 * @throws {Error} the bytes are not such a message
 */
function parseMessage(name, bytes) {
  const definition = findDefinition(name);
  // Slices of a Buffer are twice as slow to make.
  const plain = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length);
  assertWireTypes(definition, new BinaryReader(plain), plain.length, 0);
  return fromBinary(definition, plain);
}

/** @param {string} name @returns {Definition} */
function findDefinition(name) {
  registry ??= createFileRegistry(
    fromBinary(FileDescriptorSetSchema, readFileSync(packageFile('node_bridge', 'bundle', 'saved_model', 'definitions.binpb'))),
  );
  return /** @type {Definition} */ (registry.getMessage(`tensorflow.${name}`));
}

/**
 * Refuses a field whose wire type is not that of its definition. The library would read it as if the
 * type were right and continue at a wrong position; C++ skips it as an unknown field. So the two would
 * read different messages from one file.
 *
 * @param {Definition} definition of the message
 * @param {BinaryReader} reader at the start of the message
 * @param {number} end position after the message, in bytes
 * @param {number} depth how deep the message is nested
 * @throws {Error} there is such a field, or the message has another length than it says
 */
function assertWireTypes(definition, reader, end, depth) {
  if (depth > MAX_DEPTH) throw new Error('too deep');
  const fields = indexFields(definition);
  while (reader.pos < end) {
    const [number, wireType] = reader.tag();
    const field = fields.get(number);
    if (field === undefined) {
      reader.skip(wireType, number);
      continue;
    }
    const isPacked = wireType === WireType.LengthDelimited && isPackable(field);
    if (wireType !== wireTypeOf(field) && !isPacked)
      throw new Error(`${definition.typeName}.${field.name} has wire type ${wireType}`);
    const inner = findMessageDefinition(field);
    if (inner === undefined) {
      reader.skip(wireType, number);
    } else {
      const length = reader.uint32();
      const stop = reader.pos + length;
      if (stop > end) throw new Error('a message ends after the one around it');
      if (field.fieldKind === 'map') assertEntry(field, reader, stop, depth + 1);
      else assertWireTypes(inner, reader, stop, depth + 1);
    }
  }
  if (reader.pos !== end) throw new Error('a field ends after its message');
}

/** @type {WeakMap<Definition, Map<number, Field>>} */
const fieldIndexes = new WeakMap();

/** @param {Definition} definition @returns {Map<number, Field>} by number */
function indexFields(definition) {
  let fields = fieldIndexes.get(definition);
  if (fields === undefined) {
    fields = new Map(definition.fields.map((field) => [field.number, field]));
    fieldIndexes.set(definition, fields);
  }
  return fields;
}

/**
 * The same for an entry of a map: field 1 is its key, field 2 its value.
 *
 * @param {Field & {fieldKind: 'map'}} field the map
 * @param {BinaryReader} reader at the start of the entry
 * @param {number} end position after the entry, in bytes
 * @param {number} depth how deep the entry is nested
 */
function assertEntry(field, reader, end, depth) {
  while (reader.pos < end) {
    const [number, wireType] = reader.tag();
    if (number > 2) {
      reader.skip(wireType, number);
      continue;
    }
    const value =
      field.mapKind === 'message'
        ? WireType.LengthDelimited
        : field.mapKind === 'enum'
          ? WireType.Varint
          : scalarType(field.scalar);
    if (wireType !== (number === 1 ? scalarType(field.mapKey) : value))
      throw new Error(`an entry of ${field.name} has wire type ${wireType}`);
    if (number === 2 && field.mapKind === 'message') {
      const stop = reader.uint32() + reader.pos;
      if (stop > end) throw new Error('a message ends after the one around it');
      assertWireTypes(field.message, reader, stop, depth + 1);
    } else {
      reader.skip(wireType, number);
    }
  }
  if (reader.pos !== end) throw new Error('a field ends after its message');
}

/** The definition of the message in a field; undefined if the field is a plain value. @param {Field} field */
function findMessageDefinition(field) {
  if (field.fieldKind === 'message' || (field.fieldKind === 'list' && field.listKind === 'message')) return field.message;
  return field.fieldKind === 'map' ? field.parent : undefined;
}

/** @param {Field} field @returns {WireType} of one value */
function wireTypeOf(field) {
  if (findMessageDefinition(field) !== undefined) return WireType.LengthDelimited;
  if (field.fieldKind === 'enum' || (field.fieldKind === 'list' && field.listKind === 'enum')) return WireType.Varint;
  return scalarType(/** @type {number} */ (field.scalar));
}

/** @param {Field} field */
function isPackable(field) {
  return (
    field.fieldKind === 'list' && findMessageDefinition(field) === undefined && wireTypeOf(field) !== WireType.LengthDelimited
  );
}

/** The wire type of protobuf's scalar types, which have numbers. @param {number} type @returns {WireType} */
function scalarType(type) {
  if (type === 1 || type === 6 || type === 16) return WireType.Bit64; // double, fixed64, sfixed64
  if (type === 2 || type === 7 || type === 15) return WireType.Bit32; // float, fixed32, sfixed32
  return type === 9 || type === 12 ? WireType.LengthDelimited : WireType.Varint; // string, bytes
}

/**
 * Lists the main graph, under the name `''`, and each library function.
 *
 * @param {Message} metaGraph
 * @returns {[string, Message[]][]} names with their nodes
 */
export function listGraphs(metaGraph) {
  const functions = metaGraph.graphDef?.library?.function ?? [];
  return [
    ['', metaGraph.graphDef?.node ?? []],
    ...functions.map(
      (/** @type {Message} */ one) => /** @type {[string, Message[]]} */ ([one.signature?.name ?? '', one.nodeDef]),
    ),
  ];
}

/**
 * Lists the tensors of an input or output: one, or several for a sparse or composite one.
 *
 * @param {Message} info `TensorInfo`
 * @returns {string[]}
 */
export function listTensorNames({ encoding }) {
  if (encoding.case === 'cooSparse') {
    const { valuesTensorName, indicesTensorName, denseShapeTensorName } = encoding.value;
    return [valuesTensorName, indicesTensorName, denseShapeTensorName];
  }
  if (encoding.case === 'compositeTensor') return encoding.value.components.flatMap(listTensorNames);
  return encoding.case === 'name' ? [encoding.value] : [''];
}

/**
 * Collects every string in a message, at any depth: values, keys of maps, and bytes that are text.
 *
 * @param {unknown} message
 * @param {Set<string>} [found]
 * @returns {Set<string>} names of fields and cases too: that can only refuse more
 */
export function collectStrings(message, found = new Set()) {
  if (message === '') return found;
  if (typeof message === 'string') found.add(message);
  else if (message instanceof Uint8Array) found.add(Buffer.from(message).toString('utf8'));
  else if (Array.isArray(message)) message.forEach((one) => collectStrings(one, found));
  else if (typeof message === 'object' && message !== null) {
    for (const [key, value] of Object.entries(message)) {
      if (key === '$typeName') continue;
      found.add(key);
      collectStrings(value, found);
    }
  }
  return found;
}

/**
 * Lists the assets as a loader finds them. TF1 lists them in a collection.
 *
 * @param {Message} metaGraph
 * @returns {Message[]} `AssetFileDef`
 * @throws {UserError} an entry of the collection is no asset
 */
export function listAssets(metaGraph) {
  if (metaGraph.assetFileDef.length > 0) return metaGraph.assetFileDef;
  const listed = /** @type {Message[]} */ (readCollection(metaGraph, ASSETS, 'anyList'));
  return listed.map(({ value }) => parseMember('AssetFileDef', value, ASSETS));
}

/**
 * Lists the nodes that initialise the variables in a collection of a TF1 graph.
 *
 * @param {Message} metaGraph
 * @param {string} collection
 * @returns {string[]}
 * @throws {UserError} an entry of the collection is no variable
 */
export function listInitializers(metaGraph, collection) {
  const listed = /** @type {Uint8Array[]} */ (readCollection(metaGraph, collection, 'bytesList'));
  return listed.map((bytes) => parseMember('VariableDef', bytes, collection).initializerName);
}

/** @param {Message} metaGraph @param {string} collection @param {string} kind @returns {unknown[]} */
function readCollection({ collectionDef }, collection, kind) {
  const content = Object.hasOwn(collectionDef, collection) ? collectionDef[collection].kind : undefined;
  return content?.case === kind ? content.value.value : [];
}

/** @param {string} name @param {Uint8Array} bytes @param {string} collection @returns {Message} */
function parseMember(name, bytes, collection) {
  try {
    return parseMessage(name, bytes);
  } catch {
    throw new UserError(`${GRAPH_FILE} is damaged: its collection ${collection} has no ${name}; export the bundle again`);
  }
}
