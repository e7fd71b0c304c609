"""The house: which room may know which, and that none grows over the others. The contracts are in pyproject.toml."""

import os
from collections import Counter

from importlinter.cli import lint_imports

from contrec import paths


def test_arrows_between_the_rooms_point_down(capsys, monkeypatch):
    monkeypatch.chdir(paths.root())
    outcome = lint_imports(config_filename=os.fspath(paths.root() / "pyproject.toml"), no_cache=True)
    assert outcome == 0, capsys.readouterr().out


def test_no_room_is_above_a_fifth_of_the_house():
    lines = Counter()
    for file in (paths.root() / "contrec").rglob("*.py"):
        lines[file.relative_to(paths.root() / "contrec").parts[0]] += file.read_text(encoding="utf-8").count("\n")
    room, most = lines.most_common(1)[0]
    assert most < sum(lines.values()) / 5, f"{room} has {most} of {sum(lines.values())} lines"
