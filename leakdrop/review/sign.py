"""`leakdrop-review sign`: vouches for a site's manifest, offline. docs/manifest.md.

Whoever signs says: this is what our site shows. So it is made on a machine of one's own, or compared with one
that was made there; the line that tells its SHA-256 is for that.
"""

import hashlib
from pathlib import Path

from leakdrop.bundle import open_regular
from leakdrop.envelope.keyfile import open_root
from leakdrop.envelope.keys import derive_key_pair, derive_sign_key
from leakdrop.errors import KeyFileError, PassphraseError
from leakdrop.manifest import MAX_MANIFEST, SIGNATURES, parse_manifest, sign_manifest
from leakdrop.review.keys import load_secret_key
from leakdrop.review.passphrases import gather_passphrases
from leakdrop.terminal import count, say


def sign(path: Path, key_path: Path, passphrase_files: tuple[Path, ...]) -> int:
    """Add a signature to the file beside the manifest.

    Raises ManifestError, KeyFileError, PassphraseError, UsageError and OSError.
    """
    with open_regular(path, follow=True) as file:
        encoded = file.read(MAX_MANIFEST + 1)
    manifest = parse_manifest(encoded)
    closed = load_secret_key(key_path)
    (passphrase,) = gather_passphrases([closed.name], passphrase_files)
    try:
        root = open_root(closed, passphrase)
    except (KeyFileError, PassphraseError) as error:
        raise type(error)(f"{key_path}: {error}") from None
    line = sign_manifest(encoded, derive_key_pair(root).public.key_id, derive_sign_key(root))
    signatures = path.with_name(f"{path.name}{SIGNATURES}")
    if not signatures.exists() or line not in signatures.read_text():
        with signatures.open("a") as file:
            file.write(line)
    say(f"Manifest of leakdrop {manifest.version}: {count(len(manifest.days[0].pages), 'page')}.")
    for day in manifest.days[1:]:
        say(f"From {day.since} on, when a key is used no more: {count(len(day.pages), 'page')}.")
    say(f"SHA-256: {hashlib.sha256(encoded).hexdigest()}")
    say(f"Signed by “{closed.name}”, in {signatures}.")
    return 0
