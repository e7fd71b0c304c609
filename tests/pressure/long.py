"""The long form: a tiny study killed at random, on a full disk, and with each of its files damaged in every way.

    python tests/pressure/long.py [--kills 14] [--disks 8] [--damage 200]

It prints one line for each kind of trial, and ends with 1 if a result was silently another or an error escaped.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

import faults  # noqa: E402

SMALL = {
    "inputs": "relation", "embeddings": {"dim": 16}, "tokenizer.token_dim": 8, "tokenizer.width": 32,
    "tokenizer.epochs": 2, "language.hidden": 32, "language.heads": 2, "language.layers": 1,
    "language.vocabulary": 900, "language.history_cap": 3, "language.max_input": 512, "diffusion.width": 32,
    "diffusion.timesteps": 50, "diffusion.sampler": "ddim", "diffusion.sampler_steps": 3, "training.epochs": 3,
    "training.cases_per_user": 1, "training.batch_size": 32,
}  # fmt: skip
FLOORS = ("popularity", "mf")


def prepare() -> None:
    """The tiny preset made smaller, a small planted split, two floors, records beside the artifacts."""
    import torch

    from contrec import data, paths
    from contrec.artifacts import provenance
    from contrec.study import config, evaluating, fitting, settings

    torch.set_num_threads(1)
    split = data.split(*data.load("planted", n_users=60, n_items=64))
    config.PRESETS["tiny"] = SMALL
    fitting._split = lambda *_: split
    evaluating.FLOORS = FLOORS
    settings.TINY["mf"] = {"dim": 8, "epochs": 3, "batch_size": 256}
    provenance.revision = lambda folder=None: {"commit": None, "clean": None}
    paths.reproduced = lambda: paths.artifacts() / "reproduced"


def study():
    from contrec.study import evaluating
    from contrec.study.config import Config

    rows = evaluating.train_runs([Config.from_parameters(recipe="paper")], write=True)
    return rows.to_csv()


def listed():
    from contrec.study import finished

    return finished.list_runs().drop(columns="minutes").to_csv()


def compared():
    from contrec.study import finished, fitting
    from contrec.study.config import Config

    run = fitting.run_name(Config.from_parameters(recipe="paper"), 0)
    return finished.compare(run, f"{run}:contrec/direct-head").to_csv()


def asked():
    from contrec.study import fitting, lists
    from contrec.study.config import Config

    run = fitting.run_name(Config.from_parameters(recipe="paper"), 0)
    return lists.recommend(run, all=True, k=3).to_csv()


def shown():
    from contrec.study import tables

    return tables.reproduced().to_csv()


QUESTIONS = (listed, compared, asked, shown, study)


def child(*arguments: str, store: Path, **settings) -> subprocess.Popen:
    environment = {**os.environ, "CONTREC_ARTIFACTS": str(store)}
    return subprocess.Popen([sys.executable, __file__, *arguments], env=environment, **settings)


def content(store: Path) -> dict[str, bytes]:
    """Files but those that tell the time, or hold the hash of one that does."""
    told = ("run.json", "about.json", "key.json", "recommender.json")
    return {
        str(p.relative_to(store)): p.read_bytes()
        for p in sorted(store.rglob("*"))
        if p.is_file() and p.name not in told and not p.name.endswith(".lock")
    }


def kills(whole: Path, count: int, seconds: float, say) -> Counter:
    """A study that is killed until it ends by itself, each time with a store of its own."""
    outcomes, store, draw = Counter(), whole.with_name("killed"), random.Random(0)
    expected, done = content(whole), 0
    while done < count:
        process = child("--one", store=store, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        try:
            _, error = process.communicate(timeout=draw.uniform(0.2, 0.9) * seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            done += 1
            continue
        seconds *= 0.8  # it has ended before it was to be killed
        equal = process.returncode == 0 and content(store) == expected
        outcomes["equal result" if equal else "traceback" if "Traceback" in error else "different"] += 1
        if not equal:
            say(error[-500:])
        shutil.rmtree(store, ignore_errors=True)
    end(store)
    outcomes["equal result" if content(store) == expected else "different"] += 1
    shutil.rmtree(store, ignore_errors=True)
    outcomes["kills"] = done
    return outcomes


def end(store: Path) -> None:
    process = child("--one", store=store, stdout=subprocess.DEVNULL)
    assert process.wait() == 0, "the study cannot be ended"


def full_disks(whole: Path, sizes: int, say) -> Counter:
    """The study on disks of some sizes (as root: tmpfs); then with room, in the same place."""
    outcomes, place = Counter(), whole.with_name("disk")
    place.mkdir()
    size = sum(p.stat().st_size for p in whole.rglob("*") if p.is_file())
    for share in (0.95 * n / max(1, sizes - 1) for n in range(sizes)):
        bytes_ = max(4096, int(share * size))
        if subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={bytes_}", "tmpfs", place], capture_output=True
        ).returncode:
            return Counter({"not tried: no right to mount": 1})
        try:
            process = child(
                "--one", store=place / "store", stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
            )
            error = process.communicate()[1]
            told = process.returncode == 2 and f"no room in {place}" in error and "Traceback" not in error
            subprocess.run(["mount", "-o", f"remount,size={4 * size}", place], check=True)
            end(place / "store")
            equal = content(place / "store") == content(whole)
            outcomes["told, then equal" if told and equal else "another end"] += 1
            if not (told and equal):
                say(f"disk of {share:.0%}: {process.returncode} {equal} {error[-500:]}")
        finally:
            subprocess.run(["umount", place], check=True)
    return outcomes


def damages(whole: Path, least: int, say) -> dict[str, Counter]:
    """Every file in every way (all of it, or as many as are asked for, drawn at random); then some folders."""
    prepare()
    os.environ["CONTREC_ARTIFACTS"] = str(whole)
    answers = {q: q() for q in QUESTIONS}
    files = [p.relative_to(whole) for p in sorted(whole.rglob("*")) if p.is_file() and not p.name.endswith(".lock")]
    trials = [(kind, file) for kind in faults.DAMAGE for file in files]
    trials = random.Random(0).sample(trials, min(least, len(trials)))
    folders = sorted({p.parent.relative_to(whole) for p in whole.rglob("key.json")})
    trials += [(kind, folder) for kind in faults.OF_FOLDERS for folder in folders]
    outcomes: dict[str, Counter] = {}
    store = whole.with_name("damaged")
    os.environ["CONTREC_ARTIFACTS"] = str(store)
    for kind, what in trials:
        shutil.copytree(whole, store)
        (faults.DAMAGE if (whole / what).is_file() else faults.OF_FOLDERS)[kind](store / what)
        own = outcomes.setdefault(f"folder: {kind}" if (whole / what).is_dir() else kind, Counter())
        found = {q: outcome(q, answers[q], store) for q in QUESTIONS}
        bad = {q.__name__: f for q, f in found.items() if f not in ("told", "equal")}
        own["bad" if bad else "told" if "told" in found.values() else "equal"] += 1
        for name, text in bad.items():
            own[text.partition(":")[0]] += 1
            say(f"{kind} {what}: {name}: {text[:300]}")
        shutil.rmtree(store, ignore_errors=True)
    return outcomes


def outcome(question, answer: str, store: Path) -> str:
    try:
        found = question()
    except (ValueError, OSError) as error:
        told = str(store) in str(error) and any(
            word in str(error) for word in ("remove ", "makes it anew", "record it")
        )
        return "told" if told else f"no file or cure: {type(error).__name__} {error}"
    except Exception as error:
        return f"traceback: {error!r}"
    if question is listed and str(store) in found:
        return "told"
    return "equal" if found == answer else f"different: {found}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=14, help="of a study, at random times")
    parser.add_argument("--damage", type=int, default=200, help="trials at files, of all that there are")
    parser.add_argument("--disks", type=int, default=8, help="sizes of a disk that is too small")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        prepare()
        try:
            study()
        except (ValueError, OSError) as error:
            print(error, file=sys.stderr)
            return 2
        return 0
    say = lambda text: print(f"  ! {text}", flush=True)  # noqa: E731
    with tempfile.TemporaryDirectory() as folder:
        whole, start = Path(folder) / "whole", time.perf_counter()
        end(whole)
        seconds = time.perf_counter() - start
        lines = {"random kills": kills(whole, options.kills, seconds, say)} if options.kills else {}
        lines |= {"full disks": full_disks(whole, options.disks, say)} if options.disks else {}
        lines |= damages(whole, options.damage, say) if options.damage else {}
    for name, counts in lines.items():
        print(f"{name:34} {', '.join(f'{n} {what}' for what, n in counts.items())}")
    total = sum((counts for name, counts in lines.items() if name not in ("random kills", "full disks")), Counter())
    print(f"{'damage, all':34} {', '.join(f'{n} {what}' for what, n in total.items())}")
    bad = {"bad", "different", "traceback", "another end"}
    return int(any(counts[what] for counts in lines.values() for what in bad))


if __name__ == "__main__":
    sys.exit(main())
