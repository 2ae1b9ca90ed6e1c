"""The reviewers' side: it opens envelopes, on a machine without a network.

    names        safe file names
    passphrases  typed, piped, or in a file
    keys         secret keys that are open, and the public keys that are known
    places       where nothing is written: the stick
    inbox        a bundle or one envelope, and what opening tells
    listing      the verbs `list` and `read`
    receipts     which submissions come from one receipt
    reply        the verb `reply`
    summing      SHA-256 in a thread of its own
    facts        what was opened, for manifests and reports
    clean        copies without metadata, by mat2
    custody      the custody log of a case
    extract      the verb `extract`
    media        what recordings say of themselves, read in a process of its own: mediareader
    signing      reports that are signed
    report       the verb `report`; its page: reportpage
    verify       the verb `verify`
    acknowledge  the verb `acknowledge`
    keygen       the verbs `keygen` and `fingerprint`
    rekey        the verb `rekey`
    shares       a root in shares
    backup       the verbs `shares` and `restore`
    viewer       the verbs `view` and `play`
    sign         the verb `sign`: the manifest of what the site serves
    cli          the command `leakdrop-review`

Everything in an envelope is hostile: names, types, text, sizes.
"""
