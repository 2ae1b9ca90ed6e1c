"""`make run`: a demonstration site with a key of its own, and what to try with it."""

import secrets
import sys
from pathlib import Path

from leakdrop.config import load_config
from leakdrop.envelope.keyfile import PublicKeyFile, close_root, encode_public_key, encode_secret_key
from leakdrop.envelope.keys import ROOT, derive_key_pair
from leakdrop.operate.init import Wishes, make_site
from leakdrop.operate.server import serve
from leakdrop.terminal import run_command, say

FOLDER = Path("demo")
PASSPHRASE = "demo"  # noqa: S105 - the key opens nothing but the demonstration

KEY = "--key demo/reviewers/demo.key --passphrase-file demo/reviewers/passphrase"

WHAT_TO_TRY = """
leakdrop's demonstration: {address}

1. Send something: open that address in a browser, or paste in another terminal, in this folder:

   curl -F kind=Demo -F message='Hello, reviewers' -F files=@README.md {address}submit

2. Export it, as the operator does onto a stick:

   .venv/bin/leakdrop export demo/stick --config demo/config.toml

3. Read it, as the reviewers do on a laptop without network:

   .venv/bin/leakdrop-review list demo/stick {key}
   .venv/bin/leakdrop-review read demo/stick {key}
   .venv/bin/leakdrop-review extract demo/stick -o demo/opened --here {key}

4. Answer it (if there are several, name one with --name) and bring the answer in; then read it at
   {address}replies with the twelve words that you got when you sent:

   .venv/bin/leakdrop-review reply demo/stick --received {key}
   .venv/bin/leakdrop import demo/stick --config demo/config.toml

Ctrl-C ends it; `rm -r demo` forgets it.
"""


def main() -> int:
    return run_command(run, "leakdrop")


def run() -> None:
    if not (FOLDER / "config.toml").exists():
        make_site(FOLDER, Wishes("Demo organisation", demo=True), [make_key(FOLDER / "reviewers")])
    config = load_config(FOLDER / "config.toml")
    say(WHAT_TO_TRY.format(address=f"http://{config.bind}/", key=KEY))
    serve(config)


def make_key(folder: Path) -> Path:
    """The demonstration's own key, with a passphrase that is written beside it; returns the .pub file."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    root = secrets.token_bytes(ROOT)
    public = PublicKeyFile("demo", derive_key_pair(root).public)
    (folder / "demo.pub").write_text(encode_public_key(public))
    (folder / "demo.key").write_text(encode_secret_key(close_root(root, "demo", PASSPHRASE)))
    (folder / "passphrase").write_text(f"{PASSPHRASE}\n")
    return folder / "demo.pub"


if __name__ == "__main__":
    sys.exit(main())
