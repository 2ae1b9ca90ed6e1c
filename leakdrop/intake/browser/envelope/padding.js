/**
 * How long a padded plaintext is: docs/envelope.md, "Plaintext". Twin of leakdrop/envelope/padding.py.
 *
 * Padmé is the padding of "Reducing Metadata Leakage from Encrypted Files and Communication with
 * PURBs" (Nikitin et al., 2019), section 4. Lengths are integers up to 2^53 − 1, so nothing here may
 * use an operator that works on 32 bits.
 */

export const PIECE = 262_144;

/**
 * Round a length in bytes (2 or more) up to one that keeps only O(log log length) bits.
 *
 * @param {number} length
 */
export function padme(length) {
  const exponent = bitLength(length) - 1;
  const kept = bitLength(exponent); // floor(log2 exponent) + 1
  const step = 2 ** (exponent - kept);
  return Math.ceil(length / step) * step;
}

/**
 * P(n): the length in bytes of the padded plaintext for `length` bytes of files, index and trailer.
 *
 * @param {number} length
 */
export function padded(length) {
  return length <= PIECE ? PIECE : padme(length);
}

/**
 * How many bits a length has: exact, where Math.log2 rounds.
 *
 * @param {number} length
 */
function bitLength(length) {
  return length.toString(2).length;
}
