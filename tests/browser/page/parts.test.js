/** Parts, their sizes, and what is said of times and sizes. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { FileChangedError } from "../../../leakdrop/intake/browser/envelope/errors.js";
import { CHUNK, headerLength } from "../../../leakdrop/intake/browser/envelope/header.js";
import { seal } from "../../../leakdrop/intake/browser/envelope/sealing.js";
import { Estimate, saySize, sayTime } from "../../../leakdrop/intake/browser/page/estimate.js";
import { LARGEST_PART, PartSize, takePart } from "../../../leakdrop/intake/browser/page/parts.js";
import { UnsealedError, checkExpected, readFragment, readKeys } from "../../../leakdrop/intake/browser/page/checks.js";
import { explainEnd } from "../../../leakdrop/intake/browser/page/ends.js";
import { RefusedError, StoppedError } from "../../../leakdrop/intake/browser/page/tus.js";
import { WatchedFile } from "../../../leakdrop/intake/browser/page/watched.js";
import { file, keyPair, plan } from "../fixtures.js";

const MIB = 1024 * 1024;
const key = await keyPair(1);

test("a part ends where a chunk ends, and the first one has the header", async () => {
  const sealed = seal(plan([key], [file(new Uint8Array(MIB))]));
  const first = await takePart(sealed, 0, 2);
  const second = await takePart(sealed, first?.end ?? 0, 2);
  assert.equal(first?.end, headerLength(1) + 2 * CHUNK);
  assert.equal(second?.bytes.length, 2 * CHUNK);
  assert.ok(second?.holds(first?.end ?? 0));
  assert.ok(!second?.holds(first ? first.end - 1 : 0));
});

test("there is no part behind the last", async () => {
  const sealed = seal(plan([key]));
  await takePart(sealed, 0, 15);
  assert.equal(await takePart(sealed, headerLength(1) + CHUNK, 15), null);
});

test("parts grow with the speed up to 4 MiB, and a break halves them", () => {
  const size = new PartSize();
  const before = size.chunks;
  for (let i = 0; i < 5; i += 1) {
    size.worked(10 * MIB);
  }
  assert.equal(size.chunks, LARGEST_PART);
  assert.ok(size.chunks > before);
  assert.ok(LARGEST_PART * CHUNK + headerLength(16) <= 4 * MIB);
  size.broke();
  assert.equal(size.chunks, Math.floor(LARGEST_PART / 2));
  for (let i = 0; i < 5; i += 1) {
    size.broke();
  }
  assert.equal(size.chunks, 1);
  size.worked(1000);
  assert.equal(size.chunks, 1);
  size.worked(2 * CHUNK);
  assert.equal(size.chunks, 2);
});

test("an estimate begins with a wide range and comes to what was measured", () => {
  const estimate = new Estimate();
  const [least, most] = estimate.range(100e6);
  assert.ok(most / least > 5);
  for (let i = 0; i < 20; i += 1) {
    estimate.add(300_000, 30); // 10 KB/s
  }
  const [from, to] = estimate.range(1e6);
  assert.ok(from < 90 && 60 < from && to < 110, `${from} ${to}`);
  assert.ok(to / from < 2);
});

test("times and sizes are said as people say them", () => {
  assert.equal(sayTime([5, 40]), "less than a minute");
  assert.equal(sayTime([5, 130]), "up to 2 minutes");
  assert.equal(sayTime([118, 122]), "about 2 minutes");
  assert.equal(sayTime([600, 5400]), "10 minutes to 1.5 hours");
  assert.equal(sayTime([3600, 3700]), "about 1 hour");
  assert.equal(saySize(1), "1 byte");
  assert.equal(saySize(999), "999 bytes");
  assert.equal(saySize(1_550_000), "1.6 MB");
  assert.equal(saySize(4_227_858_432), "4.2 GB");
});

/** A file whose bytes change behind its back, as Firefox shows it. @param {Uint8Array<ArrayBuffer>} bytes */
function changingFile(bytes) {
  const shown = {
    name: "talk.m4a",
    type: "",
    size: bytes.length,
    bytes,
    slice: (/** @type {number} */ start, /** @type {number} */ end) => new Blob([shown.bytes]).slice(start, end),
    stream: () => new Blob([shown.bytes]).stream(),
  };
  return shown;
}

/** @param {WatchedFile} watched */
async function readAll(watched) {
  for (let start = 0; start < watched.size; start += MIB) {
    await watched.slice(start, Math.min(start + MIB, watched.size)).arrayBuffer();
  }
}

test("a file that stays as it was read passes", async () => {
  const watched = new WatchedFile(/** @type {any} */ (changingFile(new Uint8Array(3 * MIB).fill(1))));
  await readAll(watched);
  await watched.check(Infinity);
  await readAll(watched);
  await watched.check(Infinity);
});

for (const [name, bytes] of /** @type {[string, Uint8Array<ArrayBuffer>][]} */ ([
  ["overwritten", new Uint8Array(3 * MIB).fill(2)],
  ["cut short", new Uint8Array(2 * MIB).fill(1)],
  ["made longer by a byte", new Uint8Array(3 * MIB + 1).fill(1)],
  ["emptied", new Uint8Array(0)],
])) {
  test(`a file that was ${name} after it was read does not pass`, async () => {
    const file = changingFile(new Uint8Array(3 * MIB).fill(1));
    const watched = new WatchedFile(/** @type {any} */ (file));
    await readAll(watched);
    file.bytes = bytes;
    await assert.rejects(watched.check(Infinity), FileChangedError);
  });
}

test("a file that was empty, and is no longer, does not pass", async () => {
  const file = changingFile(new Uint8Array(0));
  const watched = new WatchedFile(/** @type {any} */ (file));
  await watched.check(Infinity);
  file.bytes = new Uint8Array(1);
  await assert.rejects(watched.check(Infinity), FileChangedError);
});

test("a file of which a single byte was changed does not pass, wherever that byte is", async () => {
  const size = 2 * MIB + 5;
  const file = changingFile(new Uint8Array(size).fill(1));
  const watched = new WatchedFile(/** @type {any} */ (file));
  await readAll(watched);
  for (const at of [0, 1, 1023, 1024, 4097, MIB - 1, MIB, MIB + 70_000, 2 * MIB, size - 1]) {
    file.bytes[at] = 2;
    await assert.rejects(watched.check(Infinity), (error) => error instanceof FileChangedError && error.file === "talk.m4a", `${at}`);
    file.bytes[at] = 1;
  }
  await watched.check(Infinity);
});

test("what there is no time to compare passes", async () => {
  const file = changingFile(new Uint8Array(2 * MIB).fill(1));
  const watched = new WatchedFile(/** @type {any} */ (file));
  await readAll(watched);
  file.bytes[0] = 2;
  await watched.check(performance.now() - 1);
});

test("a file that is read anew is compared with the new reading", async () => {
  const file = changingFile(new Uint8Array(2 * MIB).fill(1));
  const watched = new WatchedFile(/** @type {any} */ (file));
  await readAll(watched);
  file.bytes = new Uint8Array(2 * MIB).fill(2);
  await readAll(watched);
  await watched.check(Infinity);
});

test("the bytes that were read may be given up at once: the sum is made of a copy", async () => {
  const watched = new WatchedFile(/** @type {any} */ (changingFile(new Uint8Array(2 * MIB).fill(1))));
  for (const start of [0, MIB]) {
    new Uint8Array(await watched.slice(start, start + MIB).arrayBuffer()).fill(9);
  }
  await watched.check(Infinity);
});

test("a file that was sent leaves no sum behind", async () => {
  const watched = new WatchedFile(/** @type {any} */ (changingFile(new Uint8Array(3 * MIB).fill(1))));
  await readAll(watched);
  await watched.check(Infinity);
  const sums = watched.pieces.map(({ sum }) => sum);
  watched.forget();
  assert.equal(watched.pieces.length, 0);
  assert.ok(sums.length === 3 && sums.every((sum) => sum.length === 32 && sum.every((byte) => byte === 0)));
});

test("an address that ends in anything but a whole list of keys is refused, never taken for one without", () => {
  const { fingerprint } = key.public;
  assert.equal(readFragment(""), null);
  assert.deepEqual(readFragment(`#KEY=${fingerprint}`), [fingerprint]);
  const damaged = ["#key=", "#key", `#key%3D${fingerprint}`, `#keys=${fingerprint}`, `#key:${fingerprint}`];
  damaged.push(`#key=${fingerprint.slice(1)}`, `#key=${fingerprint},`, `#key=${fingerprint}%20`, `#${fingerprint}`);
  damaged.push(`#key=${fingerprint}\n`, `#key=${fingerprint};${fingerprint}`, "#main", "#status");
  for (const fragment of damaged) {
    assert.throws(() => readFragment(fragment), /link that you opened is damaged/, fragment);
  }
});

test("no keys at all are a site that is closed, and no damage", async () => {
  await assert.rejects(readKeys([]), (error) => {
    return error instanceof UnsealedError && error.message.startsWith("Closed for now");
  });
  await assert.rejects(readKeys([{ fingerprint: key.public.fingerprint, key: "A" }]), /damaged/);
});

test("what is said at the end is no more than the page knows", () => {
  const known = { remains: /** @type {const} */ ("nothing"), hasNewWords: true, hasLink: false };
  const stopped = new StoppedError();
  assert.match(explainEnd(stopped, known), /Nothing of it was kept.*cross them out/s);
  for (const remains of /** @type {const} */ (["part", "unknown"])) {
    assert.doesNotMatch(explainEnd(stopped, { ...known, remains }), /Nothing of it was kept|thrown away\./);
    assert.match(explainEnd(stopped, { ...known, remains }), /forgets it within three days/);
  }
  assert.match(explainEnd(stopped, { ...known, remains: "unknown" }), /could not be asked.*keep them/s);
  assert.doesNotMatch(explainEnd(stopped, { ...known, remains: "unknown" }), /cross them out/);
});

test("words from before are never to be crossed out", () => {
  const known = { remains: /** @type {const} */ ("nothing"), hasNewWords: false, hasLink: false };
  for (const error of [new StoppedError(), new RefusedError(400), new FileChangedError("a"), new Error("b")]) {
    assert.doesNotMatch(explainEnd(error, known), /words/);
  }
});

test("who came by a link with keys is told to open it again, and not to reload", () => {
  const known = { remains: /** @type {const} */ ("nothing"), hasNewWords: false, hasLink: true };
  for (const error of [new RefusedError(415), new Error("a mistake")]) {
    assert.match(explainEnd(error, known), /open your link again/);
    assert.doesNotMatch(explainEnd(error, known), /reload this page/);
    assert.match(explainEnd(error, { ...known, hasLink: false }), /reload this page/);
  }
});

test("all keys that would be sealed to must be in the list of an address", async () => {
  const other = await keyPair(2);
  const listed = readFragment(`#key=${key.public.fingerprint.toUpperCase()},${"0".repeat(64)}`) ?? [];
  checkExpected([key.public], listed);
  assert.throws(() => checkExpected([key.public, other.public], listed), /not the key in the link/);
  assert.throws(() => checkExpected([key.public], [key.public.fingerprint.slice(0, 63)]), /not the key/);
});
