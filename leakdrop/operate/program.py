"""What the command `leakdrop` starts: the verbs in `cli`, where what a server needs is installed.

On a reviewer's laptop it is not: there are the two libraries for cryptography, and no more.
"""

from leakdrop.errors import LeakdropError
from leakdrop.terminal import run_command


def main() -> int:
    try:
        from leakdrop.operate import cli
    except ModuleNotFoundError as error:
        lacking = error.name or ""
        if lacking.partition(".")[0] == "leakdrop":
            raise
        return run_command(lambda: _refuse(lacking), "leakdrop")
    return cli.main()


def _refuse(lacking: str) -> None:
    """Raises LeakdropError."""
    raise LeakdropError(
        f"What a server needs is not installed here (“{lacking}” is missing): on a server install "
        "“leakdrop[server]”; reviewers use leakdrop-review."
    )
