/** The vectors in tests/vectors/, which every implementation must pass. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { bytesToHex, concatBytes, hexToBytes } from "@noble/hashes/utils.js";

import { EnvelopeError, Kind } from "../../leakdrop/intake/browser/envelope/errors.js";
import { readHeader } from "../../leakdrop/intake/browser/envelope/header.js";
import {
  decodeBase64url,
  decodeIndex,
  encodeBase64url,
  encodeIndex,
} from "../../leakdrop/intake/browser/envelope/index.js";
import {
  PUBLIC_KEY,
  deriveKeyPair,
  hkdf,
  parsePublicKey,
  sha256,
} from "../../leakdrop/intake/browser/envelope/keys.js";
import { openEnvelope } from "../../leakdrop/intake/browser/envelope/opening.js";
import { padded } from "../../leakdrop/intake/browser/envelope/padding.js";
import { collect, kindOf } from "./fixtures.js";

/** @import { Bytes } from "../../leakdrop/intake/browser/envelope/header.js" */

/**
 * @typedef {{ root: string, secret: string, public: string, fingerprint: string, key_id: string }} KeyVector
 */
/**
 * @typedef {{ name: string, keys: string[], length: number, sha256: string, plaintext_length: number,
 *   index: string, files: string[] }} GoodVector
 */
/**
 * @typedef {{ name: string, kind: string, base: string, keys: string[], length: number,
 *   patches: [number, string][] }} BadVector
 */
/** @typedef {{ name: string, size: number, index: string, good: boolean }} IndexVector */

const folder = new URL("../vectors/", import.meta.url);
const KEYLESS = Object.values(Kind).slice(0, 6);

/** @type {Record<string, KeyVector>} */
const keys = readJson("keys.json");
/** @type {[number, number][]} */
const padding = readJson("padding.json");
/** @type {GoodVector[]} */
const good = readJson("good.json");
/** @type {BadVector[]} */
const bad = readJson("bad.json");
/** @type {IndexVector[]} */
const indexes = readJson("indexes.json");

for (const [name, key] of Object.entries(keys)) {
  test(`the root of ${name} gives its keys`, async () => {
    const pair = await deriveKeyPair(hexToBytes(key.root));
    const secret = await hkdf(hexToBytes(key.root), new Uint8Array(0), "leakdrop/1 key", 96);
    assert.equal(bytesToHex(secret), key.secret);
    assert.equal(encodeBase64url(pair.public.encoded), key.public);
    assert.equal(pair.public.fingerprint, key.fingerprint);
    assert.equal(bytesToHex(pair.public.keyId), key.key_id);
    const parsed = await parsePublicKey(decodeBase64url(key.public, PUBLIC_KEY));
    assert.equal(parsed.fingerprint, key.fingerprint);
  });
}

test("lengths are padded as the vectors say", () => {
  assert.notEqual(padding.length, 0);
  for (const [length, expected] of padding) {
    assert.equal(padded(length), expected, `P(${length})`);
  }
});

for (const vector of good) {
  test(`the good envelope "${vector.name}" opens with every key`, async () => {
    const bytes = readEnvelope(vector.name);
    assert.equal(bytes.length, vector.length);
    assert.equal(bytesToHex(await sha256(bytes)), vector.sha256);
    assert.notEqual(vector.keys.length, 0);
    for (const name of vector.keys) {
      const envelope = await openEnvelope(new Blob([bytes]), [await pairOf(name)]);
      await envelope.check();
      assert.equal(envelope.length, vector.plaintext_length);
      assert.equal(new TextDecoder().decode(encodeIndex(envelope.index)), vector.index);
      const sums = envelope.index.files.map(async (_, k) =>
        bytesToHex(await sha256(concatBytes(...(await collect(envelope.streamFile(k)))))),
      );
      assert.deepEqual(await Promise.all(sums), vector.files);
    }
  });
}

for (const vector of bad) {
  test(`the bad envelope "${vector.name}" ends in ${vector.kind}`, async () => {
    const source = new Blob([spoil(vector)]);
    const pairs = await Promise.all(vector.keys.map(pairOf));
    assert.equal(await kindOf(source, pairs), vector.kind);
    assert.equal(await keylessKindOf(source), KEYLESS.find((kind) => kind === vector.kind) ?? null);
  });
}

test("the bad envelopes show every kind", () => {
  assert.deepEqual(new Set(bad.map((vector) => vector.kind)), new Set(Object.values(Kind)));
});

for (const vector of indexes) {
  test(`the index "${vector.name}" is ${vector.good ? "accepted" : "refused"}`, async () => {
    const encoded = new Uint8Array(Buffer.from(vector.index, "base64"));
    const decoding = decodeIndex(encoded, vector.size);
    if (vector.good) {
      assert.deepEqual(encodeIndex(await decoding), encoded);
    } else {
      await assert.rejects(decoding, (error) => error instanceof EnvelopeError && error.kind === "bad-index");
    }
  });
}

/** @param {string} name */
function readJson(name) {
  return JSON.parse(readFileSync(new URL(name, folder), "utf8"));
}

/** @param {string} name @returns {Bytes} */
function readEnvelope(name) {
  return new Uint8Array(readFileSync(new URL(`good/${name}.envelope`, folder)));
}

/** @param {string} name */
function pairOf(name) {
  return deriveKeyPair(hexToBytes(keys[name].root));
}

/** The base, cut or extended with zeros, and then overwritten. @param {BadVector} vector */
function spoil(vector) {
  const bytes = new Uint8Array(vector.length);
  bytes.set(readEnvelope(vector.base).subarray(0, vector.length));
  for (const [offset, patch] of vector.patches) {
    bytes.set(hexToBytes(patch), offset);
  }
  return bytes;
}

/** @param {Blob} source */
async function keylessKindOf(source) {
  try {
    await readHeader(source, source.size);
  } catch (error) {
    if (error instanceof EnvelopeError) {
      return error.kind;
    }
    throw error;
  }
  return null;
}
