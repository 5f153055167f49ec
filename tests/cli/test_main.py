"""Finding the command, messages and exit codes."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
from pathlib import Path

import pytest
from PIL import Image
from tests.support.command_line import COMMAND, environment, run
from tests.support.goldens import DATA

import internvl_native
from internvl_native.cli.main import COMMANDS, main


def test_version() -> None:
    done = run("--version")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"internvl-native {internvl_native.__version__}\n"


def test_the_command_is_installed() -> None:
    try:
        package = importlib.metadata.distribution("internvl-native")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("runs from a build folder: there is no installed command")
    (command,) = (point for point in package.entry_points if point.group == "console_scripts")
    assert (command.name, command.load()) == ("internvl-native", main)


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


def test_output_that_cannot_be_written() -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [*COMMAND, "info", str(DATA / "ckpt_layernorm")],
            stdout=full, stderr=subprocess.PIPE, env=environment(), timeout=300,
        )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr == b"internvl-native info: [Errno 28] No space left on device\n"


def test_closed_streams() -> None:
    def close_all() -> None:
        os.closerange(0, 3)

    command = [*COMMAND, "info", str(DATA / "ckpt_layernorm")]
    done = subprocess.run(command, env=environment(), timeout=300, preexec_fn=close_all)
    assert done.returncode == 0


def test_images_of_too_many_pixels(tmp_path: Path) -> None:
    bomb = tmp_path / "bomb.png"
    Image.new("1", (20000, 20000)).save(bomb)
    done = run("tiles", bomb)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"internvl-native tiles: {bomb}: Image size (400000000 pixels)")
    assert done.stderr.count("\n") == 1
