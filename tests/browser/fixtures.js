/** What the tests of the envelope share: repeatable chance, key pairs, and an envelope as one Blob. */

import assert from "node:assert/strict";

import { EnvelopeError } from "../../leakdrop/intake/browser/envelope/errors.js";
import { deriveKeyPair } from "../../leakdrop/intake/browser/envelope/keys.js";
import { openEnvelope } from "../../leakdrop/intake/browser/envelope/opening.js";
import { planSealing, seal } from "../../leakdrop/intake/browser/envelope/sealing.js";

/** @import { Bytes } from "../../leakdrop/intake/browser/envelope/header.js" */
/** @import { KeyPair } from "../../leakdrop/intake/browser/envelope/keys.js" */
/** @import { SourceFile, SealingPlan } from "../../leakdrop/intake/browser/envelope/sealing.js" */

/** Chance that comes out the same each time: mulberry32. For tests only. */
export class Chance {
  /** @param {number} seed */
  constructor(seed) {
    this.state = seed;
  }

  /** An integer from 0 up to, not including, `limit` (at most 2^32). @param {number} limit */
  below(limit) {
    this.state = (this.state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.state ^ (this.state >>> 15), this.state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * limit);
  }

  /** @param {number} length @returns {Bytes} */
  bytes(length) {
    return Uint8Array.from({ length }, () => this.below(256));
  }
}

/** @param {number} number @returns {Promise<KeyPair>} */
export function keyPair(number) {
  return deriveKeyPair(new Uint8Array(32).fill(number));
}

/** @param {Bytes} bytes @param {string} [name] @returns {SourceFile} */
export function file(bytes, name = "file") {
  return { name, type: "application/octet-stream", source: new Blob([bytes]) };
}

/** @param {readonly KeyPair[]} keys @param {readonly SourceFile[]} [files] @param {string} [message] */
export function plan(keys, files = [], message = "a message") {
  const recipients = keys.map((key) => key.public);
  return planSealing(recipients, { sealed: "browser", kind: "a kind", message }, files);
}

/** The envelope, which is as long as it was planned. @param {SealingPlan} sealingPlan */
export async function sealToBlob(sealingPlan) {
  const sealed = new Blob(await collect(seal(sealingPlan)));
  assert.equal(sealed.size, sealingPlan.length);
  return sealed;
}

/** @template T @param {AsyncIterable<T>} iterable */
export async function collect(iterable) {
  const collected = [];
  for await (const one of iterable) {
    collected.push(one);
  }
  return collected;
}

/**
 * The kind of the EnvelopeError in which these bytes end, or null; any other error fails the test.
 *
 * @param {Blob} source
 * @param {readonly KeyPair[]} keys
 */
export async function kindOf(source, keys) {
  try {
    const envelope = await openEnvelope(source, keys);
    await envelope.check();
  } catch (error) {
    if (error instanceof EnvelopeError) {
      return error.kind;
    }
    throw error;
  }
  return null;
}
