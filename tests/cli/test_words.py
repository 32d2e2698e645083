"""The words of the commands: flags, completion, and what is said of errors."""

import re
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from imagebatch.options import OPTION_NAMES
from imagebatch_api import fields
from imagebatch_cli.kubectl.main import cli as kubectl
from imagebatch_cli.main import cli
from imagebatch_cli.options import BOUNDS, form_of

GROUPS = {"imagebatch": cli, "kubectl imagebatch": kubectl}
HERE = __file__


def commands(group: click.Group, words: tuple[str, ...] = ()) -> dict[tuple[str, ...], click.Command]:
    """Every command of a group by its words."""
    found: dict[tuple[str, ...], click.Command] = {}
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            found |= commands(command, (*words, name))
        else:
            found[(*words, name)] = command
    return found


def test_every_upload_has_every_field_of_the_api() -> None:
    for name in ("run", "submit", "check"):
        assert set(fields.NAMES) <= {str(each.name) for each in cli.commands[name].params}
    for name in ("submit", "check"):
        assert set(fields.NAMES) <= {str(each.name) for each in kubectl.commands[name].params}
    assert fields.NUMBERS == BOUNDS


@pytest.mark.parametrize("option", ["--progressive", "--optimize", "--strip-metadata", "--keep-metadata"])
def test_a_boolean_is_a_flag_and_takes_no_value(option: str) -> None:
    ended = CliRunner().invoke(cli, ["submit", option, "true", HERE])
    assert ended.exit_code == 2
    ended = CliRunner().invoke(cli, ["submit", f"{option}=true", HERE])
    assert ended.exit_code == 2
    assert "does not take a value" in ended.stderr


def test_only_what_was_given_becomes_a_field() -> None:
    given = dict.fromkeys(OPTION_NAMES) | {"progressive": True, "stripMetadata": False, "rowsPerShard": 5}
    assert form_of(given) == {"progressive": "true", "stripMetadata": "false", "rowsPerShard": "5"}


@pytest.mark.parametrize("name", GROUPS)
def test_every_command_prints_json_but_those_that_run_or_make_something(name: str) -> None:
    without = {("up",), ("token",), ("completion",)}
    for words, command in commands(GROUPS[name]).items():
        assert ("as_json" in {each.name for each in command.params}) == (words not in without), words


@pytest.mark.parametrize("name", GROUPS)
def test_every_command_and_option_says_what_it_does(name: str) -> None:
    for words, command in commands(GROUPS[name]).items():
        assert command.help, words
        for option in command.params:
            assert not isinstance(option, click.Option) or option.help, (words, option.name)


def test_both_doors_have_the_same_verbs() -> None:
    only_here = {"up", "run", "token", "gc", "doctor", "completion", "status"}
    assert set(cli.commands) - only_here == set(kubectl.commands) - {"why"}
    webhooks = [commands(group)[("webhooks", "verify")] for group in GROUPS.values()]
    assert webhooks[0] is webhooks[1]
    assert commands(cli).keys() & {("webhooks", "list"), ("webhooks", "test")} <= commands(kubectl).keys()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_completion_script_is_printed(shell: str) -> None:
    ended = CliRunner().invoke(cli, ["completion", shell], prog_name="imagebatch")
    assert ended.exit_code == 0
    assert "_IMAGEBATCH_COMPLETE" in ended.stdout
    assert re.search(r"\bimagebatch\b", ended.stdout)


def test_words_are_completed() -> None:
    asked = {"_IMAGEBATCH_COMPLETE": "bash_complete", "COMP_WORDS": "imagebatch sub", "COMP_CWORD": "1"}
    ended = CliRunner(env=asked).invoke(cli, [], prog_name="imagebatch")
    assert ended.stdout == "plain,submit\n"
    formats = {**asked, "COMP_WORDS": "imagebatch submit --format j", "COMP_CWORD": "3"}
    ended = CliRunner(env=formats).invoke(cli, [], prog_name="imagebatch")
    assert ended.stdout == "plain,jpeg\n"


def test_no_module_is_longer_than_300_lines() -> None:
    packages = Path(HERE).resolve().parents[2]
    for source in [*packages.glob("cli/src/**/*.py"), *packages.glob("client/src/**/*.py")]:
        assert len(source.read_text().splitlines()) <= 300, source
