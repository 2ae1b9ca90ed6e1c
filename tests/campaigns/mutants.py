"""Mutants of the envelope's code: `make mutants`. A test must fail of each changed place.

mutmut changes one thing at a time in leakdrop/envelope/ and runs the tests that meet it (pyproject.toml,
tool.mutmut). What is changed only in the words of a refusal counts like any other.
"""

import json
import subprocess
import sys
from pathlib import Path

from leakdrop.terminal import say
from tests.campaigns.proof import make_parser, report

TITLE = "Mutants of the envelope"
TEXT = """
`make mutants` changes one place of `leakdrop/envelope/` at a time, by mutmut, and runs the tests that
meet it. A mutant is killed when one of them fails, or does not end. Those that live are, nearly all,
other spellings of the same thing: a default that is spelled out, the inner text of an error that nobody
sees, a batch of another size.
"""
STATS = Path("mutants/mutmut-cicd-stats.json")
LEAST = 0.9


def main() -> int:
    parser = make_parser(__doc__)
    parser.add_argument("--only-count", action="store_true", help="run nothing: count what was found before")
    given = parser.parse_args()
    mutmut = Path(sys.executable).with_name("mutmut")
    if not given.only_count:
        subprocess.run([mutmut, "run", "--max-children", "2"], check=True)
    subprocess.run([mutmut, "export-cicd-stats"], check=True, stdout=subprocess.DEVNULL)
    found = json.loads(STATS.read_text())
    killed = found["killed"] + found["timeout"]
    share = killed / found["total"]
    row = (found["total"], killed, found["survived"], found["no_tests"], f"{share:.1%}")
    report(
        TITLE,
        TEXT,
        ("mutants", "killed", "alive", "met by no test", "killed of all"),
        [row],
        write=given.write,
    )
    if share < LEAST:
        say(f"Less than {LEAST:.0%} were killed: `mutmut results` names those that live.")
    return share < LEAST


if __name__ == "__main__":
    sys.exit(main())
