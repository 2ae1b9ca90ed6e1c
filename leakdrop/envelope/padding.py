"""How long a padded plaintext is: docs/envelope.md, "Plaintext".

Padmé is the padding of "Reducing Metadata Leakage from Encrypted Files and Communication with
PURBs" (Nikitin et al., 2019), section 4. Above 256 KiB it costs at most 3.2 %.
"""

PIECE = 262_144


def padme(length: int) -> int:
    """Round a length in bytes (2 or more) up to one that keeps only O(log log length) bits."""
    exponent = length.bit_length() - 1
    kept = exponent.bit_length()  # floor(log2 exponent) + 1
    step = 1 << (exponent - kept)
    return -(-length // step) * step


def padded(length: int) -> int:
    """P(n): the length in bytes of the padded plaintext for `length` bytes of files, index and trailer."""
    return PIECE if length <= PIECE else padme(length)
