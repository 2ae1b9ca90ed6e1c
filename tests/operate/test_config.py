"""The configuration file: every key is documented, every slip is told in one line."""

import dataclasses
import tomllib
from pathlib import Path

import pytest

from leakdrop.config import Config, load_config, parse_config
from leakdrop.errors import ConfigError
from leakdrop.operate.init import example_config

LEAST = {"organisation": "O", "keys_dir": "keys", "data_dir": "data"}


def test_the_example_has_every_key_and_its_default():
    example = parse_config(tomllib.loads(example_config()), Path("/site"))
    assert set(tomllib.loads(example_config())) == {field.name for field in dataclasses.fields(Config)}
    assert example == parse_config({**LEAST, "organisation": "Our organisation"}, Path("/site"))


def test_paths_are_taken_from_the_folder_of_the_file(tmp_path):
    (tmp_path / "config.toml").write_text('organisation = "O"\nkeys_dir = "keys"\ndata_dir = "/data"\n')
    config = load_config(tmp_path / "config.toml")
    assert (config.keys_dir, config.data_dir) == (tmp_path / "keys", Path("/data"))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"no_script_sealling": False}, "“no_script_sealling” is unknown"),
        ({"organisation": 1}, "“organisation” must be a text"),
        ({"organisation": ""}, "“organisation” is empty"),
        ({"no_script_sealing": "false"}, "“no_script_sealing” must be true or false"),
        ({"no_script_sealing": 0}, "“no_script_sealing” must be true or false"),
        ({"threads": True}, "“threads” must be a whole number"),
        ({"threads": 1}, "“threads” must be 2 to 1024"),
        ({"threads": 10, "submissions_at_once": 10}, "less than threads"),
        ({"silence_seconds": 0}, "“silence_seconds” must be 1 to 3600"),
        ({"kinds": "one"}, "“kinds” must be a list"),
        ({"kinds": ["x" * 65]}, "“kinds” must be a list"),
        ({"kinds": [""]}, "“kinds” must be a list"),
        ({"kinds": []}, "“kinds” must be a list"),
        ({"organisation": "Ours\nand theirs"}, "“organisation” must be one line"),
        ({"organisation": " "}, "“organisation” must be one line"),
        ({"unfinished_bytes": 2**30}, "unfinished_bytes must be at least 42[0-9]{8}: as much as the largest"),
        ({"database_url": "mysql://here/x"}, "“database_url” must be like postgresql://"),
    ],
)
def test_a_wrong_value_is_told(change, sentence):
    with pytest.raises(ConfigError, match=sentence):
        parse_config({**LEAST, **change}, Path("/"))


@pytest.mark.parametrize("missing", LEAST)
def test_a_missing_key_is_told(missing):
    with pytest.raises(ConfigError, match=f"“{missing}” is missing"):
        parse_config({key: value for key, value in LEAST.items() if key != missing}, Path("/"))


@pytest.mark.parametrize("text", [b"organisation = ", b"\xff\xfe", b'a = "\n"'])
def test_what_is_not_toml_is_told_with_its_name(tmp_path, text):
    (tmp_path / "config.toml").write_bytes(text)
    with pytest.raises(ConfigError, match=r"config\.toml is not a TOML file"):
        load_config(tmp_path / "config.toml")


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(ConfigError, match="There is no configuration file"):
        load_config(tmp_path / "config.toml")
