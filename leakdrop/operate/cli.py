"""The operator's command. Its verbs: leakdrop/operate/verbs/. Design: docs/architecture.md, "Commands"."""

import sys

from leakdrop.operate.verbs import (
    check,
    digest,
    export,
    importing,
    init,
    manifest,
    purge,
    serve,
    settle,
    status,
    verify,
)
from leakdrop.operate.verbs.arguments import Run
from leakdrop.terminal import CommandParser, run_command


def main() -> int:
    return run_command(run, "leakdrop")


def run() -> int | None:
    given = build_parser().parse_args()
    verb: Run = given.verb
    return verb(given)


def build_parser() -> CommandParser:
    parser = CommandParser(
        prog="leakdrop",
        description="Runs an anonymous, end-to-end encrypted drop.",
        epilog="Begin with: leakdrop init DIR",
    )
    verbs = parser.add_subparsers(title="verbs", required=True, metavar="VERB")
    # In this order they are shown.
    for verb in (
        init,
        serve,
        check,
        status,
        export,
        importing,
        settle,
        purge,
        digest,
        manifest,
        verify,
    ):
        verb.add(verbs)
    return parser


if __name__ == "__main__":
    sys.exit(main())
