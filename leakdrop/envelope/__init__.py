"""The envelope, version 1: docs/envelope.md. No framework, no database, no network, no clock.

    padding   how long a padded plaintext is
    header    the layout of the header, key ids and lengths: all that needs no key
    keys      roots, key pairs, public keys
    keyfile   the text of key files
    index     what stands in an envelope, as canonical JSON
    receipt   what follows from twelve words, and how replies are answered
    sealing   plaintext in, envelope out
    opening   envelope in, plaintext out

`leakdrop/intake/browser/` is the twin in JavaScript: the same names in the same order.
"""
