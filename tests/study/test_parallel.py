"""Workers end with the process that started them, however that one ends."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from contrec import paths
from contrec.study import parallel


def orphan(platform, late=False):
    """A child that is killed, and its own child that ends with it: the reading end of a pipe which that one holds."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        parent = os.getpid()
        if os.fork():
            time.sleep(0 if late else 60)
            os._exit(0)
        if late:
            time.sleep(0.3)
        sys.platform = platform
        parallel.end_with(parent, 0.01)
        os.write(writing, b"x")
        time.sleep(60)
        os._exit(0)
    os.close(writing)
    return child, reading


@pytest.mark.timeout(30)
@pytest.mark.parametrize("platform", [sys.platform, "another"])
def test_a_process_ends_with_its_parent(platform):
    child, reading = orphan(platform)
    assert os.read(reading, 1) == b"x"
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert os.read(reading, 1) == b""  # its end, long before its sleep is over
    os.close(reading)


@pytest.mark.timeout(30)
def test_a_process_whose_parent_has_ended_before_it_looks_ends_too():
    child, reading = orphan(sys.platform, late=True)
    os.waitpid(child, 0)
    assert os.read(reading, 1) == b""
    os.close(reading)


KILLED = """
import time
from contrec.study import parallel
if __name__ == "__main__":
    with parallel.processes(2) as executor:
        list(executor.map(time.sleep, [600] * 2))
"""


def workers_of(process: int) -> list[int]:
    children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return [int(c) for c in children if b"spawn_main" in Path(f"/proc/{c}/cmdline").read_bytes()]


def lives(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.timeout(120)
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_two_workers_end_with_a_killed_parent(tmp_path):
    script = tmp_path / "killed.py"
    script.write_text(KILLED)
    environment = {**os.environ, "PYTHONPATH": str(paths.root())}
    parent = subprocess.Popen([sys.executable, script], env=environment, stderr=subprocess.DEVNULL)
    while len(workers := workers_of(parent.pid)) < 2:
        time.sleep(0.05)
    parent.kill()
    parent.wait()
    while any(lives(worker) for worker in workers):
        time.sleep(0.05)
