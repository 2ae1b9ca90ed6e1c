/**
 * Opens an envelope for a test in another language, and checks every byte.
 *
 *     node open.js ENVELOPE ROOT [ROOT ...]
 *
 * ROOT is a key's root in hex. Prints {"index": canonical text, "files": [SHA-256 in hex]}, or {"kind"} of
 * the refusal.
 */

import { createHash } from "node:crypto";
import { openAsBlob } from "node:fs";

import { hexToBytes } from "@noble/hashes/utils.js";

import { EnvelopeError } from "../../leakdrop/intake/browser/envelope/errors.js";
import { encodeIndex } from "../../leakdrop/intake/browser/envelope/index.js";
import { deriveKeyPair } from "../../leakdrop/intake/browser/envelope/keys.js";
import { openEnvelope } from "../../leakdrop/intake/browser/envelope/opening.js";

const [path, ...roots] = process.argv.slice(2);
const keys = await Promise.all(roots.map((root) => deriveKeyPair(hexToBytes(root))));

async function report() {
  const envelope = await openEnvelope(await openAsBlob(path), keys);
  await envelope.check();
  const files = [];
  for (const number of envelope.index.files.keys()) {
    const hash = createHash("sha256");
    for await (const piece of envelope.streamFile(number)) {
      hash.update(piece);
    }
    files.push(hash.digest("hex"));
  }
  return { index: Buffer.from(encodeIndex(envelope.index)).toString("utf8"), files };
}

/** @param {unknown} error */
function refusal(error) {
  if (error instanceof EnvelopeError) {
    return { kind: error.kind };
  }
  throw error;
}

process.stdout.write(JSON.stringify(await report().catch(refusal)));
