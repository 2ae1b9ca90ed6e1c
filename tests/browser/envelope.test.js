/** What was sealed opens to the same; nothing else opens. */

import assert from "node:assert/strict";
import { mkdtempSync, openAsBlob, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";

import { bytesToHex, concatBytes } from "@noble/hashes/utils.js";
import { ml_kem768 } from "@noble/post-quantum/ml-kem.js";

import { FileChangedError, Kind, SubmissionError } from "../../leakdrop/intake/browser/envelope/errors.js";
import { deriveWrapKey } from "../../leakdrop/intake/browser/envelope/filekey.js";
import {
  CHUNK,
  KEM,
  KEY_ID,
  MAC,
  MAGIC,
  NONCE,
  PREFIX,
  SEALED,
  STANZA,
  TAG,
  WRAPPED,
  headerLength,
  plaintextLength,
  readHeader,
} from "../../leakdrop/intake/browser/envelope/header.js";
import { MAX_INDEX } from "../../leakdrop/intake/browser/envelope/index.js";
import { openEnvelope } from "../../leakdrop/intake/browser/envelope/opening.js";
import { PIECE, padded } from "../../leakdrop/intake/browser/envelope/padding.js";
import { openBox } from "../../leakdrop/intake/browser/envelope/sealedbox.js";
import { SealingPlan, seal } from "../../leakdrop/intake/browser/envelope/sealing.js";
import { Chance, collect, file, keyPair, kindOf, plan, sealToBlob } from "./fixtures.js";

/** @import { KeyPair } from "../../leakdrop/intake/browser/envelope/keys.js" */

const [alice, bob, carol] = await Promise.all([keyPair(1), keyPair(2), keyPair(3)]);

/** Sizes of files that end on, before and behind borders of pieces. */
// What sealing reads of a file at once, in bytes.
const AHEAD = 4 * PIECE;
const SHAPES = [
  [],
  [0],
  [1],
  [PIECE - 1],
  [PIECE],
  [PIECE + 1],
  [2 * PIECE],
  [0, 0, 1, 0],
  [PIECE, PIECE, 0],
  [PIECE - 1, 1, PIECE - 1, 2, 0],
  [3, 2 * PIECE + 7, 5],
  // The index lies across the border of two pieces.
  [PIECE - 50],
  [2 * PIECE - 100, 0],
];

for (const sizes of SHAPES) {
  test(`files of ${sizes.join(", ") || "no"} bytes come back`, async () => {
    const chance = new Chance(sizes.length + 1);
    const contents = sizes.map((size) => chance.bytes(size));
    const sealing = plan(
      [alice],
      contents.map((bytes, k) => file(bytes, `file ${k}`)),
    );
    const envelope = await openEnvelope(await sealToBlob(sealing), [alice]);
    await envelope.check();
    assert.equal(envelope.index.message, "a message");
    assert.deepEqual(
      envelope.index.files.map((entry) => [entry.name, entry.size]),
      sizes.map((size, k) => [`file ${k}`, size]),
    );
    for (const [k, bytes] of contents.entries()) {
      assert.deepEqual(await envelope.readFile(k), bytes);
    }
  });
}

test("every length around the end of the first bucket comes back", async () => {
  const { index } = plan([alice], [file(new Uint8Array(PIECE - 200))]);
  for (let rest = -2; rest <= 18; rest += 1) {
    const bytes = new Uint8Array(PIECE - index.length - rest).fill(1);
    const envelope = await openEnvelope(await sealToBlob(plan([alice], [file(bytes)])), [alice]);
    await envelope.check();
    assert.deepEqual(await envelope.readFile(0), bytes);
  }
});

test("any part of a file opens alone", async () => {
  const chance = new Chance(11);
  const contents = [chance.bytes(10), chance.bytes(3 * PIECE + 100), chance.bytes(PIECE)];
  const source = await sealToBlob(plan([alice], contents.map((bytes) => file(bytes))));
  const envelope = await openEnvelope(source, [alice]);
  const whole = concatBytes(...contents);
  for (let i = 0; i < 200; i += 1) {
    const number = chance.below(3);
    const bytes = contents[number];
    const start = chance.below(bytes.length + 2);
    const end = chance.below(bytes.length + 2);
    assert.deepEqual(await envelope.readFile(number, start, end), bytes.slice(start, end));
    const from = chance.below(whole.length);
    const to = from + chance.below(whole.length - from);
    assert.deepEqual(await envelope.read(from, to), whole.slice(from, to));
  }
  const streamed = await collect(envelope.streamFile(1, 5));
  assert.ok(streamed.every((piece) => piece.length <= PIECE));
  assert.deepEqual(concatBytes(...streamed), contents[1].slice(5));
});

test("a part is read without the chunks that it does not touch", async () => {
  const reads = new CountedBlob([await sealToBlob(plan([alice], [file(new Uint8Array(9 * PIECE))]))]);
  const envelope = await openEnvelope(reads, [alice]);
  reads.asked = 0;
  await envelope.readFile(0, 5 * PIECE + 1, 5 * PIECE + 2);
  assert.equal(reads.asked, CHUNK);
});

test("each recipient opens it, in any order of keys, and nobody else", async () => {
  const source = await sealToBlob(plan([carol, alice, bob, alice]));
  for (const key of [alice, bob, carol]) {
    const envelope = await openEnvelope(source, [await keyPair(9), key]);
    assert.equal(envelope.key, key);
    assert.equal(envelope.header.stanzas.length, 3);
  }
  assert.equal(await kindOf(source, [await keyPair(9)]), Kind.NOT_FOR_THIS_KEY);
  assert.equal(await kindOf(source, []), Kind.NOT_FOR_THIS_KEY);
});

test("an envelope is sealed to 1 to 16 keys", async () => {
  const pairs = await Promise.all(Array.from({ length: 17 }, (_, i) => keyPair(i)));
  assert.throws(() => plan([]), SubmissionError);
  assert.throws(() => plan(pairs), SubmissionError);
  const source = await sealToBlob(plan(pairs.slice(1)));
  assert.equal(await kindOf(source, [pairs[16]]), null);
});

test("an envelope that one key cannot open opens with the next", async () => {
  const bytes = await sealToBytes();
  const [first, second] = (await openEnvelope(new Blob([bytes]), [alice])).header.stanzas;
  bytes[PREFIX + KEY_ID] ^= 1;
  const [broken, whole] = [first, second].map((stanza) =>
    alice.public.keyId.every((byte, i) => byte === stanza.keyId[i]) ? alice : bob,
  );
  assert.equal(await kindOf(new Blob([bytes]), [broken]), Kind.STANZA_DAMAGED);
  // The mac covers every stanza, so the other key finds the header damaged.
  assert.equal(await kindOf(new Blob([bytes]), [whole]), Kind.HEADER_DAMAGED);
  assert.equal(await kindOf(new Blob([bytes]), [broken, whole]), Kind.STANZA_DAMAGED);
  assert.equal(await kindOf(new Blob([bytes]), [carol, whole, broken]), Kind.HEADER_DAMAGED);
});

test("a plan that is sealed twice gives two envelopes that share nothing", async () => {
  const sealing = plan([alice], [file(new Uint8Array(PIECE))]);
  const once = await bytesOf(await sealToBlob(sealing));
  const twice = await bytesOf(await sealToBlob(sealing));
  const sealed = PREFIX + KEY_ID;
  assert.deepEqual(once.slice(0, sealed), twice.slice(0, sealed));
  for (let start = sealed; start + 32 <= once.length; start += 32) {
    assert.notDeepEqual(once.subarray(start, start + 32), twice.subarray(start, start + 32));
  }
});

test("each envelope has a file key of its own, and each stanza a share of its own", async () => {
  const sealing = plan([alice, bob]);
  const drawn = new Set();
  for (let i = 0; i < 4; i += 1) {
    const source = await sealToBlob(sealing);
    const [first, second] = [await openStanza(source, alice), await openStanza(source, bob)];
    assert.equal(first.fileKey, second.fileKey);
    [first.fileKey, first.share, second.share].forEach((secret) => drawn.add(secret));
  }
  assert.equal(drawn.size, 4 * 3);
});

test("no two chunks have one nonce", async () => {
  const bytes = await bytesOf(await sealToBlob(plan([alice], [file(new Uint8Array(6 * PIECE))])));
  const nonces = new Set();
  for (let start = headerLength(1); start < bytes.length; start += CHUNK) {
    nonces.add(bytes.slice(start, start + NONCE).join());
  }
  assert.equal(nonces.size, 7);
});

test("text alone always makes an envelope of one length", () => {
  const lengths = ["", "short", "ض".repeat(100_000)].map((message) => plan([alice], [], message).length);
  assert.equal(new Set(lengths).size, 1);
});

/** What another count makes of two stanzas depends on the bytes behind them. */
const MISCOUNTED = [Kind.BAD_COUNT, Kind.CUT_HEADER, Kind.STANZA_ORDER, Kind.BAD_LENGTH];

/** @type {[string, number, number, readonly (string | null)[]][]} region, start, length, kinds */
const REGIONS = [
  ["magic", 0, MAGIC.length, [Kind.NOT_AN_ENVELOPE]],
  ["version", 8, 1, [Kind.UNKNOWN_VERSION]],
  ["count", 9, 1, MISCOUNTED],
  ["key id", PREFIX, KEY_ID, [Kind.STANZA_ORDER, Kind.NOT_FOR_THIS_KEY, Kind.HEADER_DAMAGED]],
  ["kem", PREFIX + KEY_ID, KEM, [Kind.STANZA_DAMAGED, Kind.HEADER_DAMAGED]],
  ["sealed", PREFIX + KEY_ID + KEM, SEALED, [Kind.STANZA_DAMAGED, Kind.HEADER_DAMAGED]],
  ["wrapped", PREFIX + STANZA - WRAPPED, WRAPPED, [Kind.STANZA_DAMAGED, Kind.HEADER_DAMAGED]],
  ["mac", headerLength(2) - MAC, MAC, [Kind.HEADER_DAMAGED]],
  ["first chunk's nonce", headerLength(2), NONCE, [Kind.CHUNK_DAMAGED]],
  ["first chunk's ciphertext", headerLength(2) + NONCE, PIECE, [Kind.CHUNK_DAMAGED]],
  ["first chunk's tag", headerLength(2) + NONCE + PIECE, TAG, [Kind.CHUNK_DAMAGED]],
  ["last chunk", headerLength(2) + 2 * CHUNK, 1000, [Kind.CHUNK_DAMAGED]],
];

for (const [region, start, length, kinds] of REGIONS) {
  test(`one changed bit in the ${region} is refused`, async () => {
    const chance = new Chance(length);
    const bytes = await sealToBytes([file(new Uint8Array(2 * PIECE))]);
    for (let i = 0; i < 40; i += 1) {
      const position = start + chance.below(length);
      const bit = 2 ** chance.below(8);
      bytes[position] ^= bit;
      const kind = await kindOf(new Blob([bytes]), [alice]);
      assert.ok(kinds.includes(kind), `${kind} at ${position}`);
      bytes[position] ^= bit;
    }
    assert.equal(await kindOf(new Blob([bytes]), [alice]), null);
  });
}

test("no beginning and no continuation of an envelope opens", async () => {
  const chance = new Chance(5);
  const bytes = await sealToBytes([file(new Uint8Array(3 * PIECE))]);
  const ends = [0, 9, 10, headerLength(2) - 1, headerLength(2), headerLength(2) + CHUNK, bytes.length - 1];
  ends.push(...Array.from({ length: 100 }, () => chance.below(bytes.length)));
  for (const end of ends) {
    assert.notEqual(await kindOf(new Blob([bytes.subarray(0, end)]), [alice]), null, `cut at ${end}`);
  }
  for (const extra of [1, TAG, NONCE + TAG, NONCE + TAG + 1, CHUNK]) {
    assert.notEqual(await kindOf(new Blob([bytes, new Uint8Array(extra)]), [alice]), null, `${extra} more`);
  }
});

test("chunks cannot be swapped, dropped or repeated", async () => {
  const bytes = await sealToBytes([file(new Chance(6).bytes(3 * PIECE))]);
  const header = bytes.subarray(0, headerLength(2));
  /** @param {number} i */
  const chunk = (i) => bytes.subarray(header.length + i * CHUNK, header.length + (i + 1) * CHUNK);
  for (const order of [[1, 0, 2, 3], [0, 0, 2, 3], [0, 2, 1, 3], [0, 1, 3], [0, 1, 2], [0, 1, 2, 2, 3]]) {
    const kind = await kindOf(new Blob([header, ...order.map(chunk)]), [alice]);
    assert.ok(kind === Kind.CHUNK_DAMAGED || kind === Kind.BAD_LENGTH, `${order}: ${kind}`);
  }
});

test("an envelope with the right length and random bytes is refused", async () => {
  const chance = new Chance(8);
  for (let i = 0; i < 20; i += 1) {
    const bytes = chance.bytes(headerLength(1) + PIECE + NONCE + TAG);
    bytes.set(MAGIC);
    bytes.set([1, 1], MAGIC.length);
    bytes.set(alice.public.keyId, PREFIX);
    assert.equal(await kindOf(new Blob([bytes]), [alice]), Kind.STANZA_DAMAGED);
  }
});

test("an index may be 16 MiB long, and not longer", async () => {
  /** @param {number} length */
  const withIndex = (length) => sealToBlob(new SealingPlan([alice.public], [], new Uint8Array(length)));
  assert.equal(await kindOf(await withIndex(MAX_INDEX), [alice]), Kind.BAD_INDEX);
  assert.equal(await kindOf(await withIndex(MAX_INDEX + 1), [alice]), Kind.BAD_TRAILER);
});

test("a source that became shorter since it was measured is damaged", async () => {
  const source = await sealToBlob(plan([alice], [file(new Uint8Array(2 * PIECE))]));
  const envelope = await openEnvelope(source, [alice]);
  envelope.body.source = source.slice(0, source.size - 2 * CHUNK);
  await assert.rejects(envelope.readFile(0), { kind: Kind.CHUNK_DAMAGED });
});

test("a file that gives fewer bytes than it had is a named error", async () => {
  const source = new ShrunkenBlob([new Uint8Array(3 * PIECE)], PIECE + 1);
  const sealing = plan([alice], [file(new Uint8Array(5)), { name: "talk.m4a", type: "", source }]);
  await assert.rejects(sealToBlob(sealing), (error) => isFileChanged(error, "talk.m4a"));
});

test("a file that the system no longer reads is a named error", async (t) => {
  const folder = mkdtempSync(path.join(tmpdir(), "leakdrop-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const talk = path.join(folder, "talk.m4a");
  writeFileSync(talk, new Uint8Array(3 * AHEAD));
  const sealing = plan([alice], [{ name: "talk.m4a", type: "", source: await openAsBlob(talk) }]);
  const parts = seal(sealing);
  await parts.next();
  await parts.next();
  writeFileSync(talk, new Uint8Array(10));
  const rest = async () => {
    while (!(await parts.next()).done);
  };
  await assert.rejects(rest(), (error) => isFileChanged(error, "talk.m4a"));
});

test("a file that grew is sealed as long as it was", async () => {
  const grown = new Uint8Array(PIECE + 10);
  const sealing = plan([alice], [{ name: "notes", type: "", source: new GrowingBlob([grown]) }]);
  const envelope = await openEnvelope(await sealToBlob(sealing), [alice]);
  await envelope.check();
  assert.equal(envelope.index.files[0].size, PIECE);
});

test("sealing reads little ahead and never a whole file", async () => {
  const reads = new CountedBlob([new Uint8Array(20 * PIECE + 5)]);
  const parts = seal(plan([alice], [{ name: "talk.m4a", type: "", source: reads }]));
  let taken = 0;
  for await (const part of parts) {
    assert.ok(part.length <= CHUNK);
    assert.ok(reads.asked < taken * PIECE + AHEAD, "not far ahead of what was taken");
    taken += 1;
  }
  assert.equal(reads.asked, reads.size);
  assert.ok(reads.largest <= AHEAD);
  assert.equal(reads.most, 1);
});

test("opening asks for one chunk at a time", async () => {
  const reads = new CountedBlob([await sealToBlob(plan([alice], [file(new Uint8Array(20 * PIECE))]))]);
  const envelope = await openEnvelope(reads, [alice]);
  await envelope.check();
  assert.ok(reads.largest <= CHUNK);
  assert.equal(reads.most, 1);
});

test("lengths are exact up to 2^53", () => {
  assert.equal(padded(PIECE), PIECE);
  assert.equal(padded(PIECE + 1), PIECE + 2 ** 13);
  assert.equal(padded(2 ** 52 + 1), 2 ** 52 + 2 ** 46);
  assert.equal(padded(2 ** 53 - 1), 2 ** 53);
  for (const length of [2 ** 32, 2 ** 33 + 2 ** 27, 2 ** 45 + 2 ** 39, 2 ** 52]) {
    const chunks = length / PIECE;
    const body = length + chunks * (NONCE + TAG);
    assert.equal(plaintextLength(body), length);
    assert.throws(() => plaintextLength(body + 1), { kind: Kind.BAD_LENGTH });
    assert.throws(() => plaintextLength(body - 1), { kind: Kind.BAD_LENGTH });
  }
});

/** A Blob that keeps count of the bytes that are asked for, and of how many reads go on at once. */
class CountedBlob extends Blob {
  asked = 0;
  largest = 0;
  pending = 0;
  most = 0;

  /** @param {number} [start] @param {number} [end] */
  slice(start = 0, end = this.size) {
    const part = super.slice(start, end);
    const read = part.arrayBuffer.bind(part);
    this.asked += part.size;
    this.largest = Math.max(this.largest, part.size);
    part.arrayBuffer = async () => {
      this.pending += 1;
      this.most = Math.max(this.most, this.pending);
      const buffer = await read();
      this.pending -= 1;
      return buffer;
    };
    return part;
  }
}

/** What Firefox makes of a chosen file that was cut off: the size of before, and empty slices. */
class ShrunkenBlob extends Blob {
  /** @param {BlobPart[]} parts @param {number} left */
  constructor(parts, left) {
    super(parts);
    this.left = left;
  }

  /** @param {number} [start] @param {number} [end] */
  slice(start = 0, end = this.size) {
    return end <= this.left ? super.slice(start, end) : new Blob([]);
  }
}

/** A file that has become longer after it was planned. */
class GrowingBlob extends Blob {
  #planned = false;

  get size() {
    const size = super.size - (this.#planned ? 0 : 10);
    this.#planned = true;
    return size;
  }
}

/** @param {Blob} source */
async function bytesOf(source) {
  return new Uint8Array(await source.arrayBuffer());
}

/** The share and the file key in hex, step by step. @param {Blob} source @param {KeyPair} key */
async function openStanza(source, key) {
  const [header] = await readHeader(source, source.size);
  const stanza = header.stanzas.find(({ keyId }) => bytesToHex(keyId) === bytesToHex(key.public.keyId));
  assert.ok(stanza);
  const share = openBox(stanza.sealed, key.public.x25519, key.x25519);
  assert.ok(share);
  const shared = ml_kem768.decapsulate(stanza.kem, key.mlkem);
  const wrapKey = await deriveWrapKey(share, shared, stanza.kem, stanza.sealed, key.public);
  const gcm = { name: "AES-GCM", iv: new Uint8Array(NONCE), additionalData: stanza.keyId };
  const fileKey = new Uint8Array(await crypto.subtle.decrypt(gcm, wrapKey, stanza.wrapped));
  return { share: bytesToHex(share), fileKey: bytesToHex(fileKey) };
}

/** An envelope for alice and bob. @param {Parameters<typeof plan>[1]} [files] */
async function sealToBytes(files) {
  return bytesOf(await sealToBlob(plan([alice, bob], files)));
}

/** @param {unknown} error @param {string} name */
function isFileChanged(error, name) {
  return error instanceof FileChangedError && error.file === name;
}
