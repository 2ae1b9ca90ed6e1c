/**
 * Answers a test in another language, line by line, from one process: JSON in, JSON out.
 *
 *     {"clean": text}                 {"text", "message", "name", "clip"}
 *     {"encode": fields}              {"index": hex}, or null if it cannot be sealed
 *     {"decode": hex, "size": n}      {"good": true or false}
 *     {"key": hex}                    {"good": true or false}
 *     {"lengths": n}                  {"padded": P(n), "plaintext": that of a body of n bytes, or null}
 *     {"spell": true}                 {"kinds": {kind: sentence}, "constants": {module: {name: number}}}
 *
 * A question is ASCII: halves of surrogate pairs travel as escapes, and no letter ends a line too early.
 */

import { createInterface } from "node:readline";

import { bytesToHex, hexToBytes } from "@noble/hashes/utils.js";

import * as errors from "../../leakdrop/intake/browser/envelope/errors.js";
import * as filekey from "../../leakdrop/intake/browser/envelope/filekey.js";
import * as header from "../../leakdrop/intake/browser/envelope/header.js";
import * as index from "../../leakdrop/intake/browser/envelope/index.js";
import * as keys from "../../leakdrop/intake/browser/envelope/keys.js";
import * as padding from "../../leakdrop/intake/browser/envelope/padding.js";
import * as receipt from "../../leakdrop/intake/browser/envelope/receipt.js";

/** Null in place of a refusal; any other error ends the process. @template T @param {() => T} answer */
async function orNull(answer) {
  try {
    return await answer();
  } catch (error) {
    if (error instanceof errors.LeakdropError) {
      return null;
    }
    throw error;
  }
}

/** @type {Record<string, (question: any) => unknown>} */
const answers = {
  clean: ({ clean }) => ({
    text: index.cleanText(clean),
    message: index.cleanMessage(clean),
    name: index.cleanName(clean),
    clip: index.clip(index.cleanText(clean), 255),
  }),
  encode: async ({ encode }) => {
    const replyTo = encode.reply_to && {
      mailbox: index.decodeBase64url(encode.reply_to.mailbox, index.MAILBOX),
      key: await keys.parsePublicKey(index.decodeBase64url(encode.reply_to.key, keys.PUBLIC_KEY)),
    };
    return orNull(() => ({ index: bytesToHex(index.encodeIndex({ ...encode, replyTo })) }));
  },
  decode: async ({ decode, size }) => ({
    good: (await orNull(() => index.decodeIndex(hexToBytes(decode), size))) !== null,
  }),
  key: async ({ key }) => ({ good: (await orNull(() => keys.parsePublicKey(hexToBytes(key)))) !== null }),
  lengths: async ({ lengths }) => ({
    padded: padding.padded(lengths),
    plaintext: await orNull(() => header.plaintextLength(lengths)),
  }),
  spell: () => ({ kinds: errors.SENTENCES, constants: { filekey, header, index, keys, padding, receipt } }),
};

for await (const line of createInterface({ input: process.stdin })) {
  const question = JSON.parse(line);
  const [name] = Object.keys(question);
  process.stdout.write(`${JSON.stringify(await answers[name](question))}\n`);
}
