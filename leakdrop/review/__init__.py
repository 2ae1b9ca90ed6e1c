"""The reviewers' side: it opens envelopes, on a machine without a network.

    names        safe file names
    passphrases  typed, piped, or in a file
    keys         secret keys that are open, and the public keys that are known
    places       where nothing is written: the stick
    inbox        a bundle or one envelope, and what opening tells
    listing      the verbs `list` and `read`
    extract      the verb `extract`
    keygen       the verbs `keygen` and `fingerprint`
    sign         the verb `sign`: the manifest of what the site serves
    cli          the command `leakdrop-review`

Everything in an envelope is hostile: names, types, text, sizes.
"""
