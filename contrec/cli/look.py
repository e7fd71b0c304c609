"""Commands that show what is there, and ask or time it."""

from __future__ import annotations

import itertools
import os
import shutil
import time
from pathlib import Path

from contrec.cli.make import columns_of
from contrec.cli.text import fail, for_spreadsheets, hint, say, table
from contrec.paths import absolute

BENCH_STAGES = ("train-step", "generate", "prompts", "insert", "sample", "rank", "metrics", "prep", "epochs")


def datasets(options) -> int:
    import pandas as pd

    from contrec import paths
    from contrec.data.planted import WORLDS
    from contrec.data.statistics import statistics

    paths.mirror()  # a wrong one is told once, and not for each dataset
    found = statistics()
    for column in found.columns.intersection(["first_time", "last_time"]):
        found[column] = pd.to_datetime(found[column], unit="s").dt.strftime("%Y-%m-%d")
    shown = ["dataset", "kind", "source", "users", "items", "interactions", "length", "density_percent", "tied_percent"]
    found["kind"] = found["dataset"].isin(WORLDS).map({True: "demonstration", False: ""})
    here = found[found["note"] == ""]
    say(table(here[found.columns.intersection([*shown, "first_time", "last_time"], sort=False)]))
    for row in found[found["note"] != ""].itertuples():
        say(f"not here: {row.dataset} {row.source}: {row.note}")
    return 0


def runs(options) -> int:
    from contrec.study.finished import list_runs

    found = list_runs()
    say(table(found) if len(found) else "no runs yet: contrec study makes some")
    return 0


def claims(options) -> int:
    from contrec.papers import claims

    frame = claims.ledger()
    say(claims.as_text(frame, max(100, shutil.get_terminal_size((150, 24)).columns), everything=options.all))
    say(f"\n{claims.summary(frame).to_string(index=False)}")
    return 0


def compare(options) -> int:
    from contrec.study.finished import compare

    say(table(compare(options.run_a, options.run_b)))
    return 0


def recommend(options) -> int:
    from contrec.checks import positive

    positive("k", options.k)
    if options.all and options.out is None:
        raise ValueError("--all needs --out FILE.parquet (or .csv)")
    if options.out is not None:
        _check_out(options.out)  # told now rather than after all users were asked
    from contrec.study.lists import recommend, recommend_strangers

    columns = columns_of(options, "-column")
    users = None if options.user is None else [options.user]
    if options.path is None:
        found = recommend(options.run, users=users, history=options.history, all=options.all, k=options.k, note=hint)
    elif options.history is not None:
        raise ValueError("--history is a stranger's own: leave out --path, which names a file of strangers")
    else:
        found, left_out = recommend_strangers(options.run, absolute(options.path), columns, users, options.k, hint)
        rows, others = left_out["rows"], left_out["users"]
        say(f"left out: {rows} rows of items that the run does not know, and {others} users who have no others")
    if options.out is None:
        say(table(found))
        return 0
    from contrec.files import replacing

    with replacing(options.out) as part:
        if options.out.suffix.lower() == ".parquet":
            found.to_parquet(part, index=False)
        else:
            for_spreadsheets(found).to_csv(part, index=False)
    say(f"{len(found)} rows: {options.out}")
    return 0


def _check_out(file: Path) -> None:
    if file.suffix.lower() not in (".parquet", ".csv"):
        raise ValueError(f"--out must end in .parquet or .csv, got {file}")
    if file.is_dir():
        raise ValueError(f"--out must name a file, and {file} is a folder")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise ValueError(f"--out {file} is no place for a file: a part of its path is a file itself") from None
    if not os.access(file.parent, os.W_OK):
        raise ValueError(f"--out {file} cannot be written: no right to write into {file.parent}")


def bench(options) -> int:
    from contrec import bench
    from contrec.checks import one_of

    stages = BENCH_STAGES if options.stage is None else [options.stage]
    for stage in stages:
        one_of("stage", stage, BENCH_STAGES)
    one_of("device", options.device, ("cpu", "cuda"))
    bench.available(options.device)
    if options.record and options.stage:
        raise ValueError("--record wants all stages in one run: leave the stage out")
    outcomes, start = {}, time.perf_counter()
    for stage in itertools.chain.from_iterable(bench.PARTS.get(stage, (stage,)) for stage in stages):
        benchmark = bench.benchmark(stage, options.device)
        outcomes[stage] = outcome = bench.run(benchmark, options.device)
        say(f"\n{stage}: {benchmark.shape}\n{table(outcome.table)}")
        for line in (*outcome.checks, *outcome.verdicts):
            say(str(line))
        say(f"ratio={outcome.ratio:.2f}")
    differ = [stage for stage, outcome in outcomes.items() if not outcome.equal]
    if options.record and not differ:
        from contrec.experiments.efficiency.tables import record_bench

        record_bench(outcomes, options.device, time.perf_counter() - start)
    return fail(f"results differ in {', '.join(differ)}", 1) if differ else 0
