"""The documents say what the code does: names of tests, keys of the configuration, commands, links."""

import ast
import dataclasses
import functools
import re
from pathlib import Path

import pytest

from leakdrop.config import Config
from leakdrop.envelope.padding import padded
from leakdrop.operate.cli import build_parser
from leakdrop.operate.init import SOCKET
from leakdrop.operate.tor import onion_options, write_options

TOP = Path(__file__).parents[1]
DOCS = sorted([*TOP.glob("*.md"), *(TOP / "docs").rglob("*.md")])
ATTACKS = (TOP / "docs" / "attacks.md").read_text()


@functools.cache
def names_of_tests() -> set[str]:
    trees = (ast.parse(path.read_text()) for path in (TOP / "tests").rglob("test_*.py"))
    nodes = (node for tree in trees for node in ast.walk(tree))
    return {node.name for node in nodes if isinstance(node, ast.FunctionDef)}


def attacks() -> list[list[str]]:
    """The rows of the tables: attack, defence, tests."""
    rows = [line.strip("| ").split(" | ") for line in ATTACKS.splitlines() if line.startswith("| ")]
    return [row for row in rows if row[0] != "attack"]


@pytest.mark.parametrize("row", attacks(), ids=lambda row: row[0])
def test_each_attack_has_a_defence_and_a_test_that_exists(row):
    assert len(row) == 3
    named = re.findall(r"`(test_\w+)`", row[2])
    assert named
    assert set(named) <= names_of_tests()


def test_every_key_of_the_configuration_that_the_documents_show_exists():
    keys = {field.name for field in dataclasses.fields(Config)}
    for path in DOCS:
        blocks = re.findall(r"```toml\n(.*?)```", path.read_text(), re.DOTALL)
        shown = re.findall(r"^\s*(\w+) *=", "\n".join(blocks), re.MULTILINE)
        assert set(shown) <= keys, path


def test_the_documents_count_the_size_classes_as_they_are():
    largest = Config("", TOP, TOP).largest_plaintext_bytes
    classes, length = 0, 0
    while (length := padded(length + 1)) <= largest:
        classes += 1
    for path in (TOP / "README.md", TOP / "docs" / "threat-model.md"):
        assert f"{classes} " in path.read_text()
        assert f"{largest / 2**30:.2f} GiB" in path.read_text()


def verbs() -> dict[str, set[str]]:
    """The operator's verbs, each with its options."""
    (choices,) = (action.choices for action in build_parser()._actions if action.choices)
    return {name: set(verb._option_string_actions) for name, verb in choices.items()}


def test_every_command_that_the_operators_documents_show_exists_with_its_options():
    known, shown = verbs(), 0
    for path in (TOP / "docs" / "operating.md", TOP / "docs" / "scaling.md", TOP / "README.md"):
        blocks = re.findall(r"```sh\n(.*?)```", path.read_text(), re.DOTALL)
        lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
        for line in lines:
            for verb, rest in re.findall(r"\bleakdrop ([a-z]+)\b([^|;&#]*)", line):
                shown += 1
                assert verb in known, f"{path.name}: {line}"
                assert set(re.findall(r"(?<= )--[a-z-]+", rest)) <= known[verb], f"{path.name}: {line}"
    assert shown > 10


@pytest.mark.parametrize("path", DOCS, ids=lambda path: str(path.relative_to(TOP)))
def test_links_lead_somewhere(path):
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", path.read_text()):
        if not target.startswith(("http://", "https://")):
            assert (path.parent / target).exists(), target


def test_the_containers_tor_has_the_options_that_init_writes():
    ours = {
        line.strip() for line in (TOP / "compose.torrc").read_text().splitlines() if "HiddenService" in line
    }
    written = write_options(onion_options("/var/lib/onion/service", SOCKET, proof_of_work=True)).split("\n")
    assert ours == {line for line in written if line}
