/**
 * Seals one submission for a test in another language, as the page would.
 *
 *     node seal.js ENVELOPE KEY [KEY ...] < submission.json
 *
 * KEY is a public key in base64url. The submission is {"kind", "message", "files": [{"name", "type",
 * "path"}], "reply_to": {"mailbox", "key"}}; `reply_to` may be missing, and texts are cleaned here.
 */

import { openAsBlob, readFileSync } from "node:fs";
import { open } from "node:fs/promises";

import {
  MAILBOX,
  cleanMessage,
  cleanName,
  cleanText,
  decodeBase64url,
} from "../../leakdrop/intake/browser/envelope/index.js";
import { PUBLIC_KEY, parsePublicKey } from "../../leakdrop/intake/browser/envelope/keys.js";
import { planSealing, seal } from "../../leakdrop/intake/browser/envelope/sealing.js";

/** @param {string} text */
function parseKey(text) {
  return parsePublicKey(decodeBase64url(text, PUBLIC_KEY));
}

const [path, ...keys] = process.argv.slice(2);
const said = JSON.parse(readFileSync(0, "utf8"));
const files = [];
for (const { name, type, path } of said.files) {
  files.push({ name: cleanName(name), type: cleanText(type), source: await openAsBlob(path) });
}
const replyTo = said.reply_to && {
  mailbox: decodeBase64url(said.reply_to.mailbox, MAILBOX),
  key: await parseKey(said.reply_to.key),
};
const submission = {
  sealed: "browser",
  kind: cleanText(said.kind),
  message: cleanMessage(said.message),
  replyTo,
};
const plan = planSealing(await Promise.all(keys.map(parseKey)), submission, files);
const sink = await open(path, "w");
for await (const part of seal(plan)) {
  await sink.write(part);
}
const { size } = await sink.stat();
await sink.close();
if (size !== plan.length) {
  throw new Error(`planned ${plan.length} bytes, sealed ${size}`);
}
