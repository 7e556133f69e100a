"""The README's commands are run, or at least parsed by the command that they name."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from app.cli import COMMANDS, available_commands, main

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def shell_lines() -> list[list[str]]:
    """Words of every command line in the README's shell blocks, comments cut off."""
    blocks = re.findall(r"```bash\n(.*?)```", README, re.DOTALL)
    text = "\n".join(blocks).replace("\\\n", " ")
    return [words for line in text.splitlines() if (words := shlex.split(line, comments=True))]


DMVTON = [words[1:] for words in shell_lines() if words[0] == "dmvton"]


def test_readme_shows_the_main_commands():
    shown = {words[0] for words in DMVTON}
    assert {"try", "demo", "synth", "train", "export", "bench"} <= shown


@pytest.mark.parametrize("words", DMVTON, ids=" ".join)
def test_command_exists(words):
    assert words[0] in COMMANDS
    assert words[0] in available_commands(), f"{words[0]} is in the README but not in this version"


@pytest.mark.parametrize("words", DMVTON, ids=" ".join)
def test_options_are_known(words, capsys):
    """Every --option of the line is in the command's own help."""
    depth = 2 if words[0] in ("synth", "export") else 1
    with pytest.raises(SystemExit) as stop:
        raise SystemExit(main([*words[:depth], "--help"]))
    assert stop.value.code in (0, None)
    help_text = capsys.readouterr().out
    for option in (w for w in words if w.startswith("--")):
        assert option in help_text


def test_make_targets_exist():
    makefile = (ROOT / "Makefile").read_text()
    for words in shell_lines():
        if words[0] == "make":
            assert re.search(rf"^{words[1]}:", makefile, re.MULTILINE)


@pytest.mark.trained
def test_python_example_runs(tmp_path):
    code = re.search(r"```python\n(.*?)```", README, re.DOTALL).group(1)
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert run.returncode == 0, run.stderr
    assert (tmp_path / "result.png").stat().st_size > 10_000


def test_pictures_and_links_exist():
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target
