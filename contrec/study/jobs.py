"""Pieces of work that any number of processes, on any number of machines, take from one Optuna journal.

A piece is taken under a lock, and its worker holds a lock on the piece for as long as it works. The system gives both
back when a process ends, however it ends: what a killed worker had taken is free at once, without a clock. Machines
that share the folder must see each other's file locks (NFS version 4, Lustre mounted with ``flock``), as the store
needs it too.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

from contrec.artifacts.store import locked
from contrec.files import Damaged, room


class Piece(Protocol):
    """One piece of work."""

    name: str  # of its result: equal names are the same work
    label: dict  # what the journal says about it
    done: bool  # whether its result is there


@dataclass
class Claim:
    """A piece that this process has taken, and the trial of it.

    ``value`` is what is told to the journal: NDCG, HR; a claim that ends without one has failed.
    """

    piece: Piece
    number: int
    value: float | None = None


class Queue:
    """The journal in a folder, and who works on what.

    Args:
        folder: of ``optuna.journal`` and of the locks; made if it is not there.
    """

    def __init__(self, folder: Path):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)

    @contextmanager
    def claimed(self, pieces: Sequence[Piece]) -> Iterator[Claim | None]:
        """The first piece that is neither done nor taken, for the length of the block; None if there is none."""
        found = None
        with room(self.folder), locked(self.folder / "lock"):
            for piece in pieces:
                file = None if piece.done else _hold(self.folder / f"{piece.name}.lock")
                if file is None:
                    continue
                if piece.done:  # by a worker that gave it back since we looked
                    file.close()
                    continue
                self._forget(piece.name)
                trial = self.study.ask()
                for key, value in {"piece": piece.name, **piece.label}.items():
                    trial.set_user_attr(key, value)
                found = Claim(piece, trial.number)
                break
        if found is None:
            yield None
            return
        try:
            yield found
        finally:
            with room(self.folder):
                self._tell(found)
            file.close()

    @cached_property
    def study(self):
        """The Optuna study of the journal; trials carry ``piece`` and its label as user attributes."""
        import optuna

        return opened(
            self.folder / "optuna.journal", "sweep", "finished points stay in the store",
            sampler=optuna.samplers.RandomSampler(seed=0),
        )  # fmt: skip

    def _forget(self, name: str) -> None:
        """Say of trials of a piece that nobody holds that they have failed: their worker was killed."""
        import optuna

        for left in self.study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,)):
            if left.user_attrs.get("piece", name) == name:  # killed before it said which: nobody's
                self.study.tell(left.number, state=optuna.trial.TrialState.FAIL)

    def _tell(self, claim: Claim) -> None:
        import optuna

        if claim.value is None:
            self.study.tell(claim.number, state=optuna.trial.TrialState.FAIL)
        else:
            self.study.tell(claim.number, claim.value)


def opened(path: Path, name: str, kept: str, **settings):
    """The Optuna study of a journal file, which is made if it is not there.

    Args:
        kept: what removing the file does, for the message.

    Raises:
        Damaged: if the file is not what Optuna has written.
    """
    import optuna
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        storage = optuna.storages.JournalStorage(JournalFileBackend(str(path)))
        return optuna.create_study(
            storage=storage, study_name=name, direction="maximize", load_if_exists=True, **settings
        )
    except OSError:
        raise
    except Exception as error:  # whatever its replay of a changed line runs into
        what = " ".join(f"{type(error).__name__} {error}".split())[:100]
        raise Damaged(f"{path} is damaged ({what}); remove it: {kept}") from error


def _hold(path: Path):
    """The file, locked for as long as it is open, or None where another process (or thread) has it."""
    file = open(path, "w")  # noqa: SIM115 (closed by whoever gives the piece back)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file
