/**
 * Watches what becomes of secrets: every array of bytes is known that anybody makes, and so is every secret that
 * is drawn, derived, or opened. To be imported before all else, so that no module makes arrays of another kind.
 */

const SHORTEST = 32; // bytes of a secret; what is shorter is a nonce, or blinds a computation
const PART = 16; // half of one is found, too
// @noble/curves copies the secret of X25519 into an array, and into a big integer, that nobody outside it can reach.
const OUT_OF_REACH = /\bat decodeScalar\b/;

/** @type {Set<Uint8Array>} */
const arrays = new Set();
/** In parts, as they were at first. @type {Buffer[]} */
const secrets = [];

const Plain = Uint8Array;
/** @type {typeof Uint8Array} */
const Watched = new Proxy(Plain, {
  construct(_, parameters, newTarget) {
    /** @type {Uint8Array} */
    const array = Reflect.construct(Plain, parameters, newTarget === Watched ? Plain : newTarget);
    if (!OUT_OF_REACH.test(new Error().stack ?? "")) {
      arrays.add(array);
    }
    return array;
  },
});
globalThis.Uint8Array = Watched;
Plain.prototype.constructor = Watched; // which `slice` and `subarray` look up

/** @type {any} */
const webcrypto = crypto;
const draw = webcrypto.getRandomValues.bind(webcrypto);
const [importKey, derive, decrypt] = ["importKey", "deriveBits", "decrypt"].map((name) =>
  webcrypto.subtle[name].bind(webcrypto.subtle),
);
webcrypto.getRandomValues = (/** @type {Uint8Array} */ array) => {
  draw(array);
  addSecret(array);
  return array;
};
webcrypto.subtle.importKey = (/** @type {any[]} */ ...parameters) => {
  addSecret(parameters[1]);
  return importKey(...parameters);
};
webcrypto.subtle.deriveBits = async (/** @type {any[]} */ ...parameters) => {
  const bits = await derive(...parameters);
  addSecret(bits);
  return bits;
};

webcrypto.subtle.decrypt = async (/** @type {any[]} */ ...parameters) => {
  const plain = await decrypt(...parameters);
  if (plain.byteLength === SHORTEST) {
    addSecret(plain); // a file key
  }
  return plain;
};

/** @param {Uint8Array | ArrayBuffer} drawn */
export function addSecret(drawn) {
  if (drawn.byteLength >= SHORTEST) {
    const secret = Buffer.from(new Plain(drawn));
    for (let start = 0; start < secret.length; start += PART) {
      secrets.push(secret.subarray(start, start + PART));
    }
  }
}

/** What was made and was secret so far is of no interest. */
export function beginWatch() {
  arrays.clear();
  secrets.splice(0);
}

/** How many parts of secrets there were, and how many of them some array still holds. */
export function lookForSecrets() {
  const held = [...arrays]
    .filter(({ length }) => length > 0) // the others were given up
    .map((array) => Buffer.from(array.buffer, array.byteOffset, array.length));
  const left = secrets.filter((secret) => held.some((each) => each.includes(secret)));
  return { known: secrets.length, left: left.length };
}
