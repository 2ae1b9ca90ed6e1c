/** What an index can hold, and what a reader refuses where JavaScript differs from Python. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { EnvelopeError, Kind, SubmissionError } from "../../leakdrop/intake/browser/envelope/errors.js";
import {
  MAX_FILES,
  MAX_INDEX,
  MAX_MESSAGE,
  MAX_NAME,
  MAX_SIZE,
  cleanMessage,
  cleanName,
  cleanText,
  clip,
  decodeBase64url,
  decodeIndex,
  encodeBase64url,
  encodeIndex,
} from "../../leakdrop/intake/browser/envelope/index.js";
import { Chance, keyPair } from "./fixtures.js";

/** @import { Index } from "../../leakdrop/intake/browser/envelope/index.js" */

const { public: publicKey } = await keyPair(1);

/** @param {Partial<Index>} [fields] @returns {Index} */
function index(fields) {
  return { sealed: "browser", kind: "", message: "", files: [], replyTo: null, ...fields };
}

/** @param {Partial<Index>} [fields] */
function encode(fields) {
  return new TextDecoder("utf-8", { ignoreBOM: true }).decode(encodeIndex(index(fields)));
}

/** @param {string} text @param {number} [size] */
function decode(text, size = 0) {
  return decodeIndex(new TextEncoder().encode(text), size);
}

/** @param {unknown} error */
function isBadIndex(error) {
  return error instanceof EnvelopeError && error.kind === Kind.BAD_INDEX;
}

/** @param {RegExp} sentence @returns {(error: unknown) => boolean} */
function isRefusal(sentence) {
  return (error) => error instanceof SubmissionError && sentence.test(error.message);
}

test("an index has exactly the fields of the specification, in its order", () => {
  const files = [{ name: "a", type: "b", size: 3 }];
  const replyTo = { mailbox: new Uint8Array(32), key: publicKey };
  assert.equal(
    encode({ kind: "k", message: "m", files, replyTo }),
    '{"v":1,"sealed":"browser","kind":"k","message":"m","files":[{"name":"a","type":"b","size":3}],' +
      `"reply_to":{"mailbox":"${"A".repeat(43)}","key":"${encodeBase64url(publicKey.encoded)}"}}`,
  );
});

for (const text of [
  "",
  "\u0001\b\t\n\f\u001f\"\\/",
  "\u007f\u0080\u2028\u2029\ufeff",
  "\ufeffleading",
  "مرحبا اُردو",
  "🎙️ 👩‍👩‍👧",
  "__proto__",
  "\ufffd",
]) {
  test(`the text ${JSON.stringify(text)} comes back`, async () => {
    const files = [{ name: text || "file", type: text, size: 0 }];
    const fields = index({ kind: text, message: text, files });
    assert.deepEqual(await decodeIndex(encodeIndex(fields), 0), fields);
  });
}

test("a reply address comes back", async () => {
  const fields = index({ replyTo: { mailbox: new Uint8Array(32).fill(3), key: publicKey } });
  assert.deepEqual(await decodeIndex(encodeIndex(fields), 0), fields);
});

/** @type {[string, string, string, string][]} text, as text, as message, as name */
const CLEANED = [
  ["", "", "", "file"],
  ["\0a\0", "\ufffda\ufffd", "\ufffda\ufffd", "\ufffda\ufffd"],
  ["\ud800", "\ufffd", "\ufffd", "\ufffd"],
  ["a\udc00b", "a\ufffdb", "a\ufffdb", "a\ufffdb"],
  ["\ude00\ud83d", "\ufffd\ufffd", "\ufffd\ufffd", "\ufffd\ufffd"],
  ["\ud83d\ud83d\ude00", "\ufffd😀", "\ufffd😀", "\ufffd😀"],
  ["a\r\nb\rc\n\r\r\nd", "a\r\nb\rc\n\r\r\nd", "a\nb\nc\n\n\nd", "a\r\nb\rc\n\r\r\nd"],
];

for (const [text, clean, message, name] of CLEANED) {
  test(`${JSON.stringify(text)} is cleaned`, () => {
    assert.equal(cleanText(text), clean);
    assert.equal(cleanMessage(text), message);
    assert.equal(cleanName(text), name);
  });
}

test("a text is clipped between characters", () => {
  assert.equal(clip("añ😀", 100), "añ😀");
  assert.deepEqual([7, 6, 5, 4, 3, 2, 1, 0].map((limit) => clip("añ😀", limit)), [
    "añ😀", "añ", "añ", "añ", "añ", "a", "a", "",
  ]);
  assert.equal(clip("\ufeffabc", 4), "\ufeffa");
});

test("a long name keeps its ending and fits", () => {
  const name = cleanName("x".repeat(2000) + ".m4a");
  assert.equal(name, "x".repeat(957) + "…" + "x".repeat(60) + ".m4a");
  for (const [letter, width] of /** @type {[string, number][]} */ ([["ض", 2], ["ก", 3], ["😀", 4]])) {
    for (let shift = 0; shift < 4; shift += 1) {
      const long = cleanName("a".repeat(shift) + letter.repeat(600) + "b".repeat(shift));
      const length = new TextEncoder().encode(long).length;
      assert.ok(length <= MAX_NAME && length > MAX_NAME - 2 * width, `${length}`);
      assert.ok(long.endsWith("b".repeat(shift)) && !long.includes("\ufffd"));
    }
  }
  const exact = "ض".repeat(MAX_NAME / 2);
  assert.equal(cleanName(exact), exact);
  // A U+FEFF where the ending begins is a character like any other.
  assert.ok(cleanName("x".repeat(1000) + "\ufeff" + "y".repeat(61)).includes("…\ufeffy"));
});

test("a writer refuses what no reader would open", () => {
  const entry = { name: "a", type: "", size: 0 };
  const loud = { ...entry, name: "\u0001".repeat(MAX_NAME) };
  /** @type {[Partial<Index>, RegExp][]} what can happen to a source, and what they are told */
  const refusals = [
    [{ message: "ض".repeat(MAX_MESSAGE / 2) + "a" }, /message is longer than 1 MiB/],
    [{ files: Array(MAX_FILES + 1).fill(entry) }, /more than 10,000 files/],
    [{ files: Array(MAX_FILES).fill(loud) }, /names are too long together/],
  ];
  for (const [fields, sentence] of refusals) {
    assert.throws(() => encodeIndex(index(fields)), isRefusal(sentence));
  }
  /** @type {Record<string, Partial<Index>>} what cleaning prevents */
  const refused = {
    "carriage return": { message: "a\r\n" },
    "lone surrogate": { message: "\ud800" },
    zero: { kind: "\0" },
    kind: { kind: "k".repeat(65) },
    "empty name": { files: [{ ...entry, name: "" }] },
    name: { files: [{ ...entry, name: "n".repeat(MAX_NAME + 1) }] },
    type: { files: [{ ...entry, type: "t".repeat(256) }] },
    sealed: { sealed: "somebody" },
  };
  for (const [name, fields] of Object.entries(refused)) {
    assert.throws(() => encodeIndex(index(fields)), isRefusal(/cannot be sealed/), name);
  }
});

test("the largest index comes back", async () => {
  const name = "n".repeat(MAX_NAME);
  const files = Array(MAX_FILES).fill({ name, type: "t".repeat(255), size: 1 });
  const fields = index({ message: "ض".repeat(MAX_MESSAGE / 2), kind: "k".repeat(64), files });
  const encoded = encodeIndex(fields);
  assert.ok(encoded.length <= MAX_INDEX);
  assert.deepEqual(await decodeIndex(encoded, MAX_FILES), fields);
});

const EMPTY = '{"v":1,"sealed":"browser","kind":"","message":"","files":[]}';
const FILE = '{"name":"a","type":"","size":SIZE}';

/** @param {...(number | string)} sizes */
function withFiles(...sizes) {
  return EMPTY.replace("[]", `[${sizes.map((size) => FILE.replace("SIZE", `${size}`)).join()}]`);
}

test("the texts that the refusals are made from are good", async () => {
  await decode(EMPTY);
  await decode(withFiles(2, 3), 5);
  await decode(withFiles(MAX_SIZE), MAX_SIZE);
});

/** @type {Record<string, [string, number?]>} */
const REFUSED = {
  nothing: [""],
  "a number": ["1"],
  "a text": ['"v"'],
  null: ["null"],
  "a list": ["[]"],
  "a byte order mark": ["\ufeff" + EMPTY],
  "white space": [EMPTY + " "],
  "two documents": [EMPTY + EMPTY],
  "fields of a prototype": [`{"__proto__":${EMPTY}}`],
  "a field more": [EMPTY.replace("}", ',"more":1}')],
  "a field __proto__ more": [EMPTY.replace("}", ',"__proto__":{}}')],
  "a number-like field more": [EMPTY.replace("}", ',"0":1}')],
  "a field twice": [EMPTY.replace('"kind":""', '"kind":"","kind":""')],
  "another order": ['{"sealed":"browser","v":1,"kind":"","message":"","files":[]}'],
  "no kind": [EMPTY.replace('"kind":"",', "")],
  "version 1.0": [EMPTY.replace("1", "1.0")],
  "version 1e0": [EMPTY.replace("1", "1e0")],
  "version true": [EMPTY.replace("1", "true")],
  'version "1"': [EMPTY.replace("1", '"1"')],
  "version 2": [EMPTY.replace("1", "2")],
  "another sealer": [EMPTY.replace("browser", "Browser")],
  "a sealer from a prototype": [EMPTY.replace('"browser"', '["browser"]')],
  "a kind that is a list": [EMPTY.replace('"kind":""', '"kind":[]')],
  "a message that is null": [EMPTY.replace('"message":""', '"message":null')],
  "files as an object": [EMPTY.replace("[]", "{}")],
  "files as an object with a length": [EMPTY.replace("[]", '{"length":0}')],
  "files as a text": [EMPTY.replace("[]", '""')],
  "a file that is a text": [EMPTY.replace("[]", '["name"]')],
  "a file that is null": [EMPTY.replace("[]", "[null]")],
  "a file of prototypes": [EMPTY.replace("[]", `[{"__proto__":${FILE.replace("SIZE", "0")}}]`)],
  "a lone surrogate": [EMPTY.replace('"kind":""', '"kind":"\\ud800"')],
  "a lone surrogate in a name": [withFiles(0).replace('"a"', '"\\udfff"')],
  "an escaped letter": [EMPTY.replace('"kind":""', '"kind":"\\u0061"')],
  "an escaped pair": [EMPTY.replace('"kind":""', '"kind":"\\ud83d\\ude00"')],
  "an escape in capitals": [EMPTY.replace('"kind":""', '"kind":"\\u001F"')],
  "an escaped zero": [EMPTY.replace('"kind":""', '"kind":"\\u0000"')],
  "a carriage return in the message": [EMPTY.replace('"message":""', '"message":"\\r"')],
  "a size of 1.0": [withFiles("1.0"), 1],
  "a size of 1e0": [withFiles("1e0"), 1],
  "a size of -0": [withFiles("-0"), 0],
  "a size below 0": [withFiles(-1, 1), 0],
  "a size of 2^53": [withFiles(2 ** 53), 2 ** 53],
  "a size of 2^53 + 1": [withFiles("9007199254740993"), 2 ** 53],
  "a size of 1e400": [withFiles("1e400"), 0],
  "a size that is true": [withFiles("true"), 1],
  "a size that is a text": [withFiles('"1"'), 1],
  "a size of NaN": [withFiles("NaN"), 0],
  "sizes that add up to less": [withFiles(2, 3), 6],
  "sizes that add up to more": [withFiles(2, 3), 4],
  "sizes that add up after rounding": [withFiles(MAX_SIZE, 2, 2), MAX_SIZE + 3],
  "a kind of 65 bytes": [EMPTY.replace('"kind":""', `"kind":"${"k".repeat(65)}"`)],
  "a kind of 33 letters of 2 bytes": [EMPTY.replace('"kind":""', `"kind":"${"ض".repeat(33)}"`)],
  "a name of no bytes": [withFiles(0).replace('"a"', '""')],
  "a name of 1,025 bytes": [withFiles(0).replace('"a"', `"${"n".repeat(1025)}"`)],
  "a type of 256 bytes": [withFiles(0).replace('"type":""', `"type":"${"t".repeat(256)}"`)],
  "reply_to null": [EMPTY.replace("]}", '],"reply_to":null}')],
  "deep nesting": ["[".repeat(200_000)],
  "deep nesting that ends": [EMPTY.replace('""', "[".repeat(200_000) + "]".repeat(200_000))],
};

for (const [name, [text, size]] of Object.entries(REFUSED)) {
  test(`an index with ${name} is refused`, async () => {
    await assert.rejects(decode(text, size), isBadIndex);
  });
}

test("an index that is not UTF-8 is refused", async () => {
  for (const byte of [0x80, 0xc0, 0xed, 0xff]) {
    const encoded = new TextEncoder().encode(EMPTY.replace('"kind":""', '"kind":"?"'));
    encoded[encoded.indexOf(0x3f)] = byte;
    await assert.rejects(decodeIndex(encoded, 0), isBadIndex);
  }
});

test("a reply address that is not exact is refused", async () => {
  const good = encode({ replyTo: { mailbox: new Uint8Array(32).fill(255), key: publicKey } });
  await decode(good);
  const key = encodeBase64url(publicKey.encoded);
  /** @param {number} byte @param {number} start @param {number} end */
  const filled = (byte, start, end) => encodeBase64url(publicKey.encoded.slice().fill(byte, start, end));
  const broken = {
    padding: good.replace('","key"', '=","key"'),
    "another last bit": good.replace('8","key"', '9","key"'),
    "a short mailbox": good.replace('__8","key"', '","key"'),
    "standard base64": good.replaceAll("_", "/"),
    "a blank": good.replace('8","key"', '8 ","key"'),
    "a number as mailbox": good.replace(/"mailbox":"[^"]*"/, '"mailbox":1'),
    "a low-order key": good.replace(key, filled(0, 0, 32)),
    "a key out of the modulus": good.replace(key, filled(255, 32, 35)),
    "a short key": good.replace(key, key.slice(0, -4)),
    "no key": good.replace(`,"key":"${key}"`, ""),
    "another order": good.replace(/("mailbox":"[^"]*"),("key":"[^"]*")/, "$2,$1"),
  };
  for (const [name, text] of Object.entries(broken)) {
    assert.notEqual(text, good, name);
    await assert.rejects(decode(text), isBadIndex, name);
  }
});

test("changed bytes of an index are accepted as they are or refused", async () => {
  const chance = new Chance(3);
  const good = new TextEncoder().encode(withFiles(2, 3).replace('"message":""', '"message":"ض\\n"'));
  let accepted = 0;
  for (let i = 0; i < 2000; i += 1) {
    const encoded = good.slice();
    encoded[chance.below(encoded.length)] = chance.below(256);
    try {
      const read = await decodeIndex(encoded, 5);
      assert.deepEqual(encodeIndex(read), encoded);
      accepted += 1;
    } catch (error) {
      assert.ok(isBadIndex(error), String(error));
    }
  }
  assert.ok(accepted > 0 && accepted < 2000);
});

test("base64url is canonical", () => {
  assert.deepEqual(decodeBase64url("-_8", 2), Uint8Array.of(0xfb, 0xff));
  for (const text of ["+/8", "-_9", "-_8=", "-_8\n", "-_", "-_8A", "-_8AA", "", "ض"]) {
    assert.throws(() => decodeBase64url(text, 2), RangeError, text);
  }
});
