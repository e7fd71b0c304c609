"""Seconds an epoch of SASRec, RecTools against contrec, on one data set and one CPU thread, in turn. Not a pytest file.

RecTools wants older numpy and pandas than contrec, so it has an environment of its own (any CPU build of PyTorch does):

    python3 -m venv peers
    peers/bin/pip install 'rectools[torch]'
    peers/bin/python tests/peers/rectools_epochs.py .venv/bin/python

The argument is the interpreter that has contrec. Both train the same network shape on the synthetic data of
``contrec bench epochs`` (LastFM's shape) with full softmax: 64 dimensions, 2 blocks, 1 head, dropout .3, the newest 51
rows of a user, batches of 128 sequences. Each turn is a process that trains for some epochs; the first is not counted.
The seconds are the process's CPU time. Both must train on equally many pairs, or there is no comparison. RecTools has
neither GRU4Rec nor LightGCN.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

DIM, BLOCKS, HEADS, DROPOUT, LENGTH, BATCH, LR = 64, 2, 1, 0.3, 50, 128, 1e-3


def write_data(path: str) -> None:
    """The interactions as arrays user, item and place in the sequence; runs where contrec is installed."""
    import numpy as np

    from contrec.bench import epochs

    train = epochs.world(**epochs.LASTFM).train
    end = np.cumsum(np.bincount(train.user))[train.user]
    newest = end - np.arange(len(train)) <= LENGTH + 1  # RecTools reads no others, contrec would
    np.savez(
        path, user=train.user[newest], item=train.item[newest], place=train.timestamp[newest], n_items=train.n_items
    )


def contrec_epochs(path: str, n_epochs: int) -> dict:
    """Version, pairs of an epoch, and seconds of each; runs where contrec is installed."""
    import numpy as np
    import torch

    from contrec import training
    from contrec.baselines.sasrec import SASRec
    from contrec.data.facets import make_catalogue
    from contrec.data.interactions import Cases, Interactions, Split

    found = np.load(path)
    names = np.arange(found["user"].max() + 1).astype(str), np.arange(int(found["n_items"])).astype(str)
    none = Cases.from_histories([])
    train = Interactions(found["user"], found["item"], found["place"], *names)
    settings = {"dim": DIM, "layers": BLOCKS, "heads": HEADS, "dropout": DROPOUT, "length": LENGTH, "loss": "softmax"}
    loop = {"batch_size": BATCH, "lr": LR, "epochs": n_epochs, "patience": n_epochs}
    model = SASRec(**settings, **loop)
    torch.manual_seed(0)
    network = model.build(Split(train, none, none, none, make_catalogue(names[1]), "leave_one_out", {}))
    starts, ends, pairs = [], [], set()

    def batches(epoch: int) -> list:
        starts.append(time.process_time())
        made = model.batches(np.random.default_rng([0, epoch]))
        pairs.add(sum(int((batch.targets >= 0).sum()) for batch in made))
        return made

    def validate() -> float:
        ends.append(time.process_time())
        return 0.0

    training.fit(network, batches, validate, model.loop, seed=0)
    return outcome(f"contrec, torch {torch.__version__}, numpy {np.__version__}", pairs, starts, ends)


def rectools_epochs(path: str, n_epochs: int) -> dict:
    """As :func:`contrec_epochs`; runs where RecTools is installed."""
    import logging
    import warnings

    warnings.filterwarnings("ignore")
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    import numpy as np
    import pandas as pd
    import pytorch_lightning
    import rectools
    import torch
    from rectools.dataset import Dataset
    from rectools.models import SASRecModel

    found = np.load(path)
    day = pd.Timestamp("2020-01-01") + pd.to_timedelta(found["place"], unit="D")
    rows = pd.DataFrame({"user_id": found["user"], "item_id": found["item"], "weight": 1.0, "datetime": day})
    starts, ends = [], []

    class Clock(pytorch_lightning.Callback):
        def on_train_epoch_start(self, trainer, module) -> None:
            starts.append(time.process_time())

        def on_train_epoch_end(self, trainer, module) -> None:
            ends.append(time.process_time())

    def trainer() -> pytorch_lightning.Trainer:
        quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
        return pytorch_lightning.Trainer(
            accelerator="cpu", max_epochs=n_epochs, callbacks=[Clock()], enable_model_summary=False, **quiet
        )

    model = SASRecModel(
        n_factors=DIM, n_blocks=BLOCKS, n_heads=HEADS, dropout_rate=DROPOUT, session_max_len=LENGTH, batch_size=BATCH,
        loss="softmax", lr=LR, get_trainer_func=trainer,
    )  # fmt: skip
    model.fit(Dataset.construct(rows))
    pairs = {sum(int((batch["y"] > 0).sum()) for batch in model.data_preparator.get_dataloader_train())}
    versions = f"torch {torch.__version__}, Lightning {pytorch_lightning.__version__}, numpy {np.__version__}"
    return outcome(f"RecTools {rectools.__version__}, {versions}", pairs, starts, ends)


def outcome(name: str, pairs: set[int], starts: list[float], ends: list[float]) -> dict:
    """What a turn tells; its first epoch is a warm-up."""
    (count,) = pairs
    return {"name": name, "pairs": count, "seconds": [end - start for start, end in zip(starts, ends)][1:]}


def compare(interpreter: str, turns: int, n_epochs: int) -> None:
    """Call both in turn, print seconds an epoch and the ratio.

    Raises:
        SystemExit: if they do not train on equally many pairs.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "rows.npz")
        call(interpreter, "--write", path)
        found: dict[str, list[dict]] = {"rectools": [], "contrec": []}
        for _ in range(turns):
            for side, python in (("rectools", sys.executable), ("contrec", interpreter)):
                found[side].append(json.loads(call(python, "--train", side, path, str(n_epochs)).splitlines()[-1]))
    middle = {}
    for side, outcomes in found.items():
        seconds = [s for one in outcomes for s in one["seconds"]]
        middle[side] = statistics.median(seconds)
        print(
            f"{outcomes[0]['name']}: {middle[side]:.3f} s an epoch ({min(seconds):.3f} to {max(seconds):.3f}, "
            f"{len(seconds)} epochs), {outcomes[0]['pairs']:,} pairs"
        )
    if len({one["pairs"] for outcomes in found.values() for one in outcomes}) > 1:
        sys.exit("they do not train on equally many pairs: no comparison")
    print(f"RecTools / contrec: {middle['rectools'] / middle['contrec']:.2f} (bar: 1.3)")


def call(python: str, *arguments: str) -> str:
    """Output of this file under an interpreter, on one thread."""
    command = [python, __file__, *arguments]
    return subprocess.run(
        command, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=True, stdout=subprocess.PIPE, text=True
    ).stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("interpreter", nargs="?", help="of the environment with contrec")
    parser.add_argument("--turns", type=int, default=3, help="of each side; default: 3")
    parser.add_argument("--epochs", type=int, default=5, help="in a turn, the first of which is a warm-up; default: 5")
    parser.add_argument("--write", metavar="FILE", help=argparse.SUPPRESS)
    parser.add_argument("--train", nargs=3, metavar=("SIDE", "FILE", "EPOCHS"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.write:
        write_data(options.write)
    elif options.train:
        side, path, n_epochs = options.train
        train = {"rectools": rectools_epochs, "contrec": contrec_epochs}[side]
        print(json.dumps(train(path, int(n_epochs))))
    elif options.interpreter:
        compare(options.interpreter, options.turns, options.epochs)
    else:
        parser.error("name the interpreter of the environment that has contrec, such as .venv/bin/python")


if __name__ == "__main__":
    main()
