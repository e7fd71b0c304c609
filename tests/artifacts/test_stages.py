"""Every stage's source is the recorded one, and every module belongs to a stage or is known to change no artifact."""

import json
import shutil

import pytest

from contrec.artifacts import stages


def test_no_stage_changed_without_a_new_version():
    record = json.loads(stages.RECORD.read_text())
    stale = stages.changed(record)
    assert not stale, (
        f"the source of {', '.join(stale)} changed since its version was recorded; if results may differ: "
        f"python -m contrec.artifacts.stages bump {' '.join(stale)} (else keep instead of bump)"
    )
    assert list(record) == list(stages.STAGES)


def test_every_module_is_in_a_stage_or_outside():
    inside = {part for parts in stages.STAGES.values() for part in parts}
    assert not inside & set(stages.OUTSIDE)
    assert all((stages.PACKAGE / part).exists() for part in inside)
    claimed = inside | set(stages.OUTSIDE)
    top = {p.name for p in stages.PACKAGE.iterdir() if p.suffix == ".py" or any(p.rglob("*.py"))}
    present = (top - {"baselines"}) | {f"baselines/{p.name}" for p in (stages.PACKAGE / "baselines").glob("*.py")}
    assert present <= claimed, f"add to STAGES or OUTSIDE of contrec/artifacts/stages.py: {present - claimed}"


@pytest.fixture
def package(tmp_path):
    for part in ("data/a.py", "data/sub/b.py", "retriever.py"):
        (tmp_path / part).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / part).write_text(f"# {part}\n")
    return tmp_path


def test_a_change_is_found_and_a_bump_records_it(package):
    record = stages.update({}, stages.STAGES, bump=False, package=package)
    assert stages.changed(record, package) == [] and {r["version"] for r in record.values()} == {1}
    (package / "data/sub/b.py").write_text("# other\n")
    (package / "retriever.py").write_text("# other\n")
    assert stages.changed(record, package) == ["data", "recommender"]
    record = stages.update(record, ["data"], bump=True, package=package)
    record = stages.update(record, ["recommender"], bump=False, package=package)
    assert stages.changed(record, package) == []
    assert record["data"]["version"] == 2 and record["recommender"]["version"] == 1


def test_renamed_and_new_files_are_changes_but_line_ends_are_not(package):
    before = stages.source_hash("data", package)
    (package / "data/a.py").write_bytes(b"# data/a.py\r\n")
    assert stages.source_hash("data", package) == before
    shutil.move(package / "data/a.py", package / "data/c.py")
    assert stages.source_hash("data", package) != before


def test_unknown_stage_is_named():
    with pytest.raises(ValueError, match="got 'date'"):
        stages.stage_version("date")
    assert stages.main(["bump", "date"]) == 2
