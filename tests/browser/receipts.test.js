/** Receipts, their words and answers: the vectors in tests/vectors/, and what only the page does with words. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { bytesToHex, concatBytes, hexToBytes } from "@noble/hashes/utils.js";

import { AnswerError, ReceiptError } from "../../leakdrop/intake/browser/envelope/errors.js";
import { encodeBase64url } from "../../leakdrop/intake/browser/envelope/index.js";
import { MAX_ANSWER, UNIT, decodeAnswer, deriveReceipt } from "../../leakdrop/intake/browser/envelope/receipt.js";
import { safeName } from "../../leakdrop/intake/browser/page/reply.js";
import { decodeWords, encodeWords, splitWords } from "../../leakdrop/intake/browser/page/words.js";
import { judgeWords } from "../../leakdrop/intake/browser/page/wordsfield.js";
import { Chance } from "./fixtures.js";

/** @typedef {{ name: string, text: string, entropy?: string, refusal?: string, number?: number }} WordsVector */
/**
 * @typedef {{ name: string, entropy: string, words: string, token: string, mailbox: string, public: string,
 *   fingerprint: string }} ReceiptVector
 */
/** @typedef {{ name: string, parts: [string, any][], lengths: number[] | null }} AnswerVector */

const folder = new URL("../vectors/", import.meta.url);
/** @param {string} name */
const readJson = (name) => JSON.parse(readFileSync(new URL(name, folder), "utf8"));
/** @type {WordsVector[]} */
const texts = readJson("words.json");
/** @type {ReceiptVector[]} */
const receipts = readJson("receipts.json");
/** @type {AnswerVector[]} */
const answers = readJson("answers.json");

/** @type {Record<string, RegExp>} */
const REFUSALS = { count: /^These are \d+ words/, unknown: /^Word (\d+) is not/, checksum: /do not fit together/ };

for (const { name, text, entropy, refusal, number } of texts) {
  if (entropy !== undefined) {
    test(`the words "${name}" are read, and written the same`, () => {
      assert.equal(bytesToHex(decodeWords(text)), entropy);
      assert.deepEqual(encodeWords(hexToBytes(entropy)), splitWords(text));
      assert.equal(judgeWords(text, false).isWrong, false);
    });
  } else {
    test(`the words "${name}" are refused: ${refusal}`, () => {
      assert.throws(
        () => decodeWords(text),
        (error) => {
          assert.ok(error instanceof ReceiptError);
          const found = REFUSALS[refusal ?? ""].exec(error.message);
          assert.ok(found, error.message);
          assert.equal(found[1], number?.toString());
          return true;
        },
      );
      assert.equal(judgeWords(text, false).isReceipt, false);
    });
  }
}

for (const vector of receipts) {
  test(`the receipt "${vector.name}" follows from its words`, async () => {
    const entropy = decodeWords(vector.words);
    assert.equal(bytesToHex(entropy), vector.entropy);
    assert.equal(encodeWords(entropy).join(" "), vector.words);
    const receipt = await deriveReceipt(entropy);
    assert.equal(bytesToHex(receipt.token), vector.token);
    assert.equal(bytesToHex(receipt.replyTo.mailbox), vector.mailbox);
    assert.equal(encodeBase64url(receipt.replyTo.key.encoded), vector.public);
    assert.equal(receipt.keyPair.public.fingerprint, vector.fingerprint);
  });
}

for (const { name, parts, lengths } of answers) {
  test(`the answer "${name}" is ${lengths ? "taken apart" : "refused"}`, () => {
    const answer = concatBytes(...parts.map(makePart));
    if (lengths) {
      assert.deepEqual(
        decodeAnswer(answer).map((envelope) => envelope.length),
        lengths,
      );
    } else {
      assert.throws(() => decodeAnswer(answer), AnswerError);
    }
  });
}

/** @param {[string, any]} part */
function makePart([kind, content]) {
  if (kind === "hex") {
    return hexToBytes(content);
  }
  if (kind === "fill") {
    return new Uint8Array(content[0]).fill(content[1]);
  }
  return new Uint8Array(readFileSync(new URL(`good/${content}.envelope`, folder)));
}

test("any bytes are an answer or an AnswerError", () => {
  const chance = new Chance(11);
  for (let i = 0; i < 200; i += 1) {
    const answer = new Uint8Array(chance.below(3) * UNIT);
    answer.set(chance.bytes(Math.min(40, answer.length)));
    if (answer.length > 0) {
      answer[0] %= 4;
      answer[1] &= 1;
      answer[2] = 0;
    }
    try {
      decodeAnswer(answer);
    } catch (error) {
      assert.ok(error instanceof AnswerError);
    }
  }
  assert.throws(() => decodeAnswer(new Uint8Array(MAX_ANSWER + UNIT)), AnswerError);
});

const GOOD = "legal winner thank year wave sausage worth useful legal winner thank yellow";

test("letter by letter nothing is called wrong that can still become right", () => {
  for (let end = 0; end < GOOD.length; end += 1) {
    const judgement = judgeWords(GOOD.slice(0, end), true);
    assert.deepEqual([judgement.isWrong, judgement.isReceipt], [false, false], GOOD.slice(0, end));
  }
  assert.equal(judgeWords(GOOD, true).isReceipt, true);
});

test("a word that is not on the list is named at once, with its number and a guess", () => {
  const { isWrong, sentence } = judgeWords("legal winner thankful", true);
  assert.equal(isWrong, true);
  assert.match(sentence, /Word 3, “thankful”.*Is it “thank”\?/);
  assert.equal(judgeWords("legal x", true).isWrong, true); // no word begins so
  assert.equal(judgeWords("legal winn ", true).isWrong, true); // it has ended
  assert.equal(judgeWords("legal winn", false).isWrong, true);
});

test("thirteen words and a wrong order are told at once", () => {
  assert.match(judgeWords(`${GOOD} zoo`, true).sentence, /13 words/);
  const swapped = GOOD.replace("legal winner", "winner legal");
  assert.match(judgeWords(swapped, true).sentence, /do not fit together/);
});

test("the beginning of a longer word at the end is not called a wrong checksum yet", () => {
  const begun = GOOD.replace(/yellow$/, "act"); // of "action", "actor", "actress", "actual"
  assert.deepEqual(judgeWords(begun, true), { isReceipt: false, sentence: "11 of 12 words.", isWrong: false });
  assert.equal(judgeWords(begun, false).isWrong, true);
});

test("a name for saving leads nowhere and hides nothing", () => {
  for (const [name, expected] of [
    ["answer.pdf", "answer.pdf"],
    ["../../.bashrc", "_.._.bashrc"],
    ["a/b\\c:d", "a_b_c_d"],
    ["invoice\u202efdp.exe", "invoice_fdp.exe"],
    ["x\0\n\r.txt", "x_.txt"],
    ["...", "file"],
    ["", "file"],
    ["شكرا.pdf", "شكرا.pdf"],
  ]) {
    assert.equal(safeName(name), expected);
  }
  assert.equal([...safeName(`${"😀".repeat(300)}.txt`)].length, 100);
  assert.match(safeName(`${"😀".repeat(300)}.txt`), /\.txt$/);
});
