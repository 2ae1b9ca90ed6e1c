/** When a way on the pages has come to its end, no array of bytes holds a token or a secret key any more. */

import { addSecret, beginWatch, lookForSecrets } from "./watch.js";

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { afterEach, beforeEach, test } from "node:test";

import { x25519 } from "@noble/curves/ed25519.js";

import { AnswerError, FileChangedError } from "../../leakdrop/intake/browser/envelope/errors.js";
import { MAC, WRAPPED, headerLength } from "../../leakdrop/intake/browser/envelope/header.js";
import { UNIT, deriveReceipt, deriveReplyTo } from "../../leakdrop/intake/browser/envelope/receipt.js";
import { openBox, sealBox } from "../../leakdrop/intake/browser/envelope/sealedbox.js";
import { planSealing, seal } from "../../leakdrop/intake/browser/envelope/sealing.js";
import { Mailbox, UnansweredError, UnreachedError } from "../../leakdrop/intake/browser/page/mailbox.js";
import { StoppedError, Tus } from "../../leakdrop/intake/browser/page/tus.js";
import { Uploader } from "../../leakdrop/intake/browser/page/uploader.js";
import { collect, file, keyPair, plan } from "./fixtures.js";
import { Harbour } from "./page/harbour.js";

/** @import { RequestListener, Server } from "node:http" */
/** @import { Bytes } from "../../leakdrop/intake/browser/envelope/header.js" */

/** @type {{ close: () => void }[]} */
const opened = [];
beforeEach(beginWatch);
afterEach(() => opened.splice(0).forEach((one) => one.close()));

/** @param {number} least how many parts of secrets there must have been, or this test sees nothing */
function assertNothingIsLeft(least) {
  const { known, left } = lookForSecrets();
  assert.ok(known >= least, `only ${known} were seen`);
  assert.equal(left, 0);
}

// Root and token have two parts, what gives the key pair has six.
const OF_RECEIPT = 10;
// The file key and three keys that are derived.
const OF_OPENING = 8;

/** The 16 bytes behind somebody's words. @returns {Bytes} */
function readEntropy() {
  return new Uint8Array(16).fill(7);
}

test("a secret that is left is seen, whole or in part", async () => {
  const receipt = await deriveReceipt(readEntropy());
  // The token, the secret of X25519, and of the other one's seed the half that decapsulating uses.
  assert.equal(lookForSecrets().left, 6);
  const half = receipt.token.slice(0, 16);
  receipt.token.fill(0);
  receipt.keyPair.forget();
  assert.equal(lookForSecrets().left, 1);
  half.fill(0);
  assertNothingIsLeft(OF_RECEIPT);
});

test("what an envelope says of a receipt leaves neither token nor key", async () => {
  const entropy = readEntropy();
  await deriveReplyTo(entropy);
  assertNothingIsLeft(OF_RECEIPT);
  assert.ok(entropy.every((byte) => byte === 0));
});

test("a receipt that cannot be derived leaves nothing of its words", async () => {
  const entropy = readEntropy();
  const { deriveBits } = crypto.subtle;
  crypto.subtle.deriveBits = async () => {
    throw new TypeError("not here");
  };
  try {
    await assert.rejects(deriveReplyTo(entropy), TypeError);
  } finally {
    crypto.subtle.deriveBits = deriveBits;
  }
  assert.ok(entropy.every((byte) => byte === 0));
});

test("a sealed box leaves nothing of what both sides compute, whether it opens or not", async () => {
  const { x25519: secret, public: publicKey } = await keyPair(1);
  const share = new Uint8Array(32).fill(9);
  const sealed = sealBox(share, publicKey.x25519);
  const shared = x25519.getSharedSecret(secret, sealed.slice(0, 32));
  for (const damage of [0, 1]) {
    beginWatch();
    addSecret(shared);
    sealed[40] ^= damage;
    assert.equal(openBox(sealed, publicKey.x25519, secret) === null, damage === 1);
    assertNothingIsLeft(2);
  }
});

/**
 * @param {{ trouble?: ConstructorParameters<typeof Harbour>[0], check?: () => Promise<void>, tell?: (uploader: Uploader) => void }} how
 */
async function upload({ trouble, check = async () => {}, tell = () => {} }) {
  const harbour = await new Harbour(trouble).open();
  opened.push(harbour);
  const sealing = plan([await keyPair(1)], [file(new Uint8Array(600_000))], "hello");
  beginWatch(); // the reviewers' key is not on a source's device
  /** @type {Uploader} */
  const uploader = new Uploader(new Tus("/uploads", harbour.ask), sealing, check, () => tell(uploader), () => {}, 0.001);
  await uploader.run();
}

test("an upload that has arrived leaves no key", async () => {
  await upload({});
  assertNothingIsLeft(OF_RECEIPT);
});

test("an upload that was stopped leaves no key", async () => {
  const stopped = upload({ tell: (uploader) => uploader.progress.state === "sending" && uploader.cancel() });
  await assert.rejects(stopped, StoppedError);
  assertNothingIsLeft(OF_RECEIPT);
});

test("an upload that failed leaves no key", async () => {
  const check = async () => {
    throw new FileChangedError("file");
  };
  await assert.rejects(upload({ check }), FileChangedError);
  assertNothingIsLeft(OF_RECEIPT);
});

/** An answer with one reply, sealed to the words. */
async function makeAnswer() {
  const { key } = await deriveReplyTo(readEntropy());
  const parts = await collect(seal(planSealing([key], { sealed: "review", kind: "", message: "an answer" })));
  const envelope = Buffer.concat(parts);
  const answer = Buffer.alloc(UNIT);
  answer[0] = 1;
  answer.writeUInt32BE(envelope.length, 1);
  envelope.copy(answer, 5);
  beginWatch();
  return answer;
}

/** @param {RequestListener} answer @returns {Promise<Mailbox>} */
async function openMailbox(answer) {
  /** @type {Server} */
  const server = createServer(answer);
  await new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(null)));
  opened.push({
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  });
  const address = server.address();
  return new Mailbox(`http://127.0.0.1:${typeof address === "object" ? address?.port : ""}/replies`);
}

test("who has read and deleted a reply leaves nothing", async () => {
  const answer = await makeAnswer();
  const mailbox = await openMailbox((_, response) => response.end(answer));
  const [reply] = await mailbox.read(readEntropy(), () => {});
  assert.equal(reply.envelope?.index.message, "an answer");
  assert.equal(lookForSecrets().left, 2, "only the token's two halves are kept, which delete");
  await mailbox.delete(reply.sha256);
  mailbox.forget();
  assertNothingIsLeft(OF_RECEIPT + OF_OPENING);
});

const END = headerLength(1);
for (const [place, offset] of Object.entries({ "wrapped key": END - MAC - WRAPPED, mac: END - MAC })) {
  test(`a reply whose ${place} is damaged leaves nothing`, async () => {
    const answer = await makeAnswer();
    answer[1 + 4 + offset] ^= 1;
    const mailbox = await openMailbox((_, response) => response.end(answer));
    const [reply] = await mailbox.read(readEntropy(), () => {});
    assert.equal(reply.envelope, null);
    mailbox.forget();
    assertNothingIsLeft(OF_RECEIPT);
  });
}

/** @type {[string, RequestListener, new (...parameters: any[]) => Error][]} */
const FAILURES = [
  ["refused", (_, response) => response.writeHead(503).end(), UnansweredError],
  ["not whole", (_, response) => response.end("short"), AnswerError],
  ["broken off", (request) => request.socket.destroy(), UnreachedError],
];
for (const [name, answer, failure] of FAILURES) {
  test(`a question whose answer is ${name} leaves nothing`, async () => {
    const mailbox = await openMailbox(answer);
    await assert.rejects(mailbox.read(readEntropy(), () => {}), failure);
    assertNothingIsLeft(OF_RECEIPT);
  });
}

for (const moment of ["before it is asked", "while it is answered"]) {
  test(`a page that is left ${moment} leaves nothing`, async () => {
    const mailbox = await openMailbox((_, response) => {
      response.write("a");
      mailbox.forget();
    });
    const reading = mailbox.read(readEntropy(), () => {});
    if (moment === "before it is asked") {
      mailbox.forget();
    }
    await assert.rejects(reading, UnreachedError);
    assertNothingIsLeft(OF_RECEIPT);
  });
}
