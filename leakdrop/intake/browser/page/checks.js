/**
 * What must be true before anything may be sealed here. Each failure is a sentence that says what to do, and
 * none has a way around it.
 */

import { PublicKeyError } from "../envelope/errors.js";
import { MAX_STANZAS, parseHeader } from "../envelope/header.js";
import { decodeBase64url } from "../envelope/index.js";
import { PUBLIC_KEY, deriveKeyPair, parsePublicKey } from "../envelope/keys.js";
import { openEnvelope } from "../envelope/opening.js";
import { planSealing, seal } from "../envelope/sealing.js";

/** @import { PublicKey } from "../envelope/keys.js" */

const NOTHING = "Nothing can be sent here now.";

/** This page cannot seal. */
export class UnsealedError extends Error {
  /** @param {string} sentence */
  constructor(sentence) {
    super(`${sentence} ${NOTHING}`);
  }
}

/**
 * Whether this browser can seal, tried out with a key of its own that is then forgotten.
 *
 * Throws UnsealedError.
 */
export async function checkBrowser() {
  if (!isSecureContext || typeof crypto?.subtle?.encrypt !== "function") {
    throw new UnsealedError(
      "Your browser does not let this page lock what you send. Use Tor Browser, bring it up to date, and open " +
        "this site by its .onion address.",
    );
  }
  try {
    await sealAndOpen();
  } catch {
    throw new UnsealedError(
      "This page tried to lock a test message, and it did not work. Bring Tor Browser up to date and try again.",
    );
  }
}

async function sealAndOpen() {
  const pair = await deriveKeyPair(crypto.getRandomValues(new Uint8Array(32)));
  const plan = planSealing([pair.public], { sealed: "browser", kind: "", message: "test" });
  const parts = [];
  for await (const part of seal(plan)) {
    parts.push(part);
  }
  const envelope = await openEnvelope(new Blob(parts), [pair]);
  if (envelope.index.message !== "test" || parseHeader(parts[0]).length !== parts[0].length) {
    throw new UnsealedError("The test message came out changed.");
  }
}

/**
 * The keys of the page, from fingerprints and base64url.
 *
 * Throws UnsealedError if there is none, or if one is not what its fingerprint says.
 *
 * @param {readonly { fingerprint: string, key: string }[]} texts
 * @returns {Promise<PublicKey[]>}
 */
export async function readKeys(texts) {
  const damaged = "A key on this page is damaged. Reload the page; if that does not help, do not use this site.";
  if (texts.length === 0) {
    throw new UnsealedError(
      "Closed for now: our keys are too old, so this page cannot lock anything for us. Come back in a few days.",
    );
  }
  if (texts.length > MAX_STANZAS) {
    throw new UnsealedError(damaged);
  }
  const keys = [];
  for (const { fingerprint, key } of texts) {
    const parsed = await parse(key);
    if (parsed?.fingerprint !== fingerprint) {
      throw new UnsealedError(damaged);
    }
    keys.push(parsed);
  }
  return keys;
}

/** @param {string} key */
async function parse(key) {
  try {
    return await parsePublicKey(decodeBase64url(key, PUBLIC_KEY));
  } catch (error) {
    if (error instanceof PublicKeyError || error instanceof RangeError || error instanceof DOMException) {
      return null;
    }
    throw error;
  }
}

/**
 * The fingerprints that an address names behind `#key=`; null if it has no fragment at all.
 *
 * Throws UnsealedError for anything else: a link that was damaged on its way, or lost its keys to another place in
 * the page, must not pass for one without keys.
 *
 * @param {string} fragment
 */
export function readFragment(fragment) {
  if (fragment === "") {
    return null;
  }
  if (!/^#key=[\da-f]{64}(,[\da-f]{64})*$/i.test(fragment)) {
    throw new UnsealedError(
      "The link that you opened is damaged: behind the # should stand key= and a long code. So this page cannot " +
        "tell whether the key of this site is the right one. Open the link again, all of it, or ask whoever gave it to you.",
    );
  }
  return fragment.slice("#key=".length).toLowerCase().split(",");
}

/**
 * Every key that would be sealed to must be in the list that the source was given.
 *
 * Throws UnsealedError.
 *
 * @param {readonly PublicKey[]} keys
 * @param {readonly string[]} expected
 */
export function checkExpected(keys, expected) {
  if (!keys.every((key) => expected.includes(key.fingerprint))) {
    throw new UnsealedError(
      "The key of this site is not the key in the link that you opened. Somebody may be trying to read what you " +
        "send. Do not send anything here. Tell whoever gave you the link.",
    );
  }
}
