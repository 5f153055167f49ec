"""Finding the command, messages and exit codes."""

from __future__ import annotations

import pytest
from tests.support.command_line import run

import internvl_native
from internvl_native.cli.main import COMMANDS


def test_version() -> None:
    done = run("--version")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"internvl-native {internvl_native.__version__}\n"


def test_help_lists_the_commands() -> None:
    done = run("--help")
    assert done.returncode == 0
    for name, line in COMMANDS.items():
        assert f"{name} " in done.stdout
        assert line in done.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command_has_examples(command: str) -> None:
    done = run(command, "--help")
    assert done.returncode == 0
    assert f"  internvl-native {command} " in done.stdout


def test_no_command() -> None:
    done = run()
    assert (done.returncode, done.stdout) == (2, "")
    assert "commands:" in done.stderr


def test_mistyped_command() -> None:
    done = run("tile", "image.jpg")
    assert (done.returncode, done.stdout) == (2, "")
    assert "no command 'tile': did you mean 'tiles'?" in done.stderr
