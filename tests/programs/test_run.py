"""`internvl-native run program` is `python program`, with the stand-ins in place."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.programs.running import RUN, execute, path_with, run_source

PROBE = """
import json, os, sys
print(json.dumps({
    "argv": sys.argv, "path": sys.path, "name": __name__, "file": __file__,
    "flags": str(sys.flags), "warnings": sys.warnoptions, "orig_argv": sys.argv[1:],
    "package": __package__, "utf8": sys.stdout.encoding, "x": sys._xoptions,
}))
"""


def both(arguments: list[str], folder: Path) -> tuple[Any, Any]:
    """What a program prints under `python`, and under `internvl-native run`."""
    environment = path_with(folder / "extra")
    outputs = []
    for start in ([sys.executable], RUN):
        done = execute([*start, *arguments], folder, environment)
        assert done.returncode == 0, done.stderr
        outputs.append(json.loads(done.stdout))
    return outputs[0], outputs[1]


def test_script_sees_what_python_shows_it(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "probe.py").write_text(PROBE, encoding="utf-8")
    arguments = ["inner/probe.py", "--debug", "-m", "x", "--", "-h"]
    python, ours = both(arguments, tmp_path)
    assert ours == python
    assert ours["argv"] == arguments


def test_module_sees_what_python_shows_it(tmp_path: Path) -> None:
    package = tmp_path / "extra" / "package"
    package.mkdir(parents=True)
    (package / "__main__.py").write_text(PROBE, encoding="utf-8")
    python, ours = both(["-m", "package", "a", "-b"], tmp_path)
    assert ours == python
    assert ours["package"] == "package"


def test_options_of_python_are_kept(tmp_path: Path) -> None:
    (tmp_path / "probe.py").write_text(PROBE, encoding="utf-8")
    command = [sys.executable, "-W", "error", "-X", "dev", "-m", "internvl_native", "run"]
    done = execute([*command, "probe.py"], tmp_path)
    seen = json.loads(done.stdout)
    assert "error" in seen["warnings"]
    assert seen["x"] == {"dev": True}


def test_ignored_environment_is_refused(tmp_path: Path) -> None:
    (tmp_path / "probe.py").write_text(PROBE, encoding="utf-8")
    source = f"import sys; sys.path[:] = {sys.path!r}\n" + (
        "from internvl_native.cli.main import main; sys.exit(main(['run', 'probe.py']))"
    )
    done = execute([sys.executable, "-E", "-c", source], tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("internvl-native run: python -E or -I: ")


@pytest.mark.parametrize(
    ("statement", "code"),
    [("sys.exit(7)", 7), ("sys.exit('message')", 1), ("raise SystemExit", 0), ("1 / 0", 1)],
)
def test_exit_code_and_traceback(statement: str, code: int, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(f"import sys\n{statement}\n", encoding="utf-8")
    python = execute([sys.executable, "program.py"], tmp_path)
    ours = execute([*RUN, "program.py"], tmp_path)
    assert (ours.returncode, ours.stderr) == (code, python.stderr)


def test_missing_script(tmp_path: Path) -> None:
    done = execute([*RUN, "absent.py"], tmp_path)
    assert done.returncode == 2
    assert "absent.py" in done.stderr


def test_interrupt_reaches_the_program(tmp_path: Path) -> None:
    source = "import signal, sys, time\n"
    source += "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    source += "try:\n    print('ready', flush=True)\n    time.sleep(60)\n"
    source += "except KeyboardInterrupt:\n    print('interrupted')\n    sys.exit(5)\n"
    (tmp_path / "program.py").write_text(source, encoding="utf-8")
    command, environment = [*RUN, "program.py"], {**os.environ, **path_with()}
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGINT)
        assert process.stdout.read() == b"interrupted\n"
    assert process.returncode == 5


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_worker_processes_have_the_stand_ins(method: str, tmp_path: Path) -> None:
    source = (
        "import multiprocessing, sys\n"
        "from internvl.train.dataset import dynamic_preprocess\n"
        "def work(_):\n"
        "    import internvl.train.dataset, transformers\n"
        "    return internvl.train.dataset.__file__ == dynamic_preprocess.__code__.co_filename\n"
        "if __name__ == '__main__':\n"
        f"    with multiprocessing.get_context({method!r}).Pool(2) as pool:\n"
        "        print(pool.map(work, range(2)))\n"
    )
    assert run_source(source, tmp_path).stdout == "[True, True]\n"


def test_child_programs_have_the_stand_ins(tmp_path: Path) -> None:
    source = (
        "import subprocess, sys\n"
        "code = 'import internvl.model, sys; print(internvl.model.__name__)'\n"
        "print(subprocess.check_output([sys.executable, '-c', code], text=True), end='')\n"
    )
    assert run_source(source, tmp_path).stdout == "internvl.model\n"


def test_sitecustomize_of_the_user_still_runs(tmp_path: Path) -> None:
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text("import sys\nsys.mark = 42\n", encoding="utf-8")
    source = "import sys, sitecustomize\nprint(sys.mark, sitecustomize.__file__)\n"
    done = run_source(source, tmp_path, path_with(folder))
    assert done.stdout == f"42 {folder / 'sitecustomize.py'}\n"


def test_nothing_heavy_is_imported_before_the_program(tmp_path: Path) -> None:
    source = "import sys\nprint({'numpy', 'torch', 'transformers', 'PIL'} & sys.modules.keys())\n"
    assert run_source(source, tmp_path).stdout == "set()\n"
