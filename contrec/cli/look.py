"""Commands that show what is there, and ask or time it."""

from __future__ import annotations

import itertools
import os
import shutil
import time

from contrec.cli.text import fail, say, table

BENCH_STAGES = ("train-step", "generate", "prompts", "insert", "sample", "rank", "metrics", "prep", "epochs")


def datasets(options) -> int:
    import pandas as pd

    from contrec.data.statistics import statistics

    found = statistics()
    for column in found.columns.intersection(["first_time", "last_time"]):
        found[column] = pd.to_datetime(found[column], unit="s").dt.strftime("%Y-%m-%d")
    shown = ["dataset", "source", "users", "items", "interactions", "length", "density_percent", "tied_percent"]
    here = found[found["note"] == ""]
    say(table(here[found.columns.intersection([*shown, "first_time", "last_time"], sort=False)]))
    for row in found[found["note"] != ""].itertuples():
        say(f"not here: {row.dataset} {row.source}: {row.note}")
    return 0


def runs(options) -> int:
    from contrec.study.lookup import list_runs

    found = list_runs()
    say(table(found) if len(found) else "no runs yet: contrec study makes some")
    return 0


def claims(options) -> int:
    from contrec.study import claims

    frame = claims.ledger()
    say(claims.as_text(frame, max(100, shutil.get_terminal_size((150, 24)).columns), everything=options.all))
    say(f"\n{claims.summary(frame).to_string(index=False)}")
    return 0


def compare(options) -> int:
    from contrec.study.lookup import compare

    say(table(compare(options.run_a, options.run_b)))
    return 0


def recommend(options) -> int:
    if options.k < 1:
        raise ValueError(f"k must be at least 1, got {options.k}")
    if options.all and options.out is None:
        raise ValueError("--all needs --out FILE.parquet (or .csv)")
    if options.out is not None and options.out.suffix not in (".parquet", ".csv"):
        raise ValueError(f"--out must end in .parquet or .csv, got {options.out}")
    if options.out is not None:
        options.out.parent.mkdir(parents=True, exist_ok=True)  # told now rather than after all users were asked
    from contrec.study.lookup import recommend

    users = None if options.user is None else [options.user]
    found = recommend(options.run, users=users, history=options.history, all=options.all, k=options.k)
    if options.out is None:
        say(table(found))
        return 0
    part = options.out.with_name(f".{options.out.stem}.{os.getpid()}{options.out.suffix}")
    try:
        if options.out.suffix == ".parquet":
            found.to_parquet(part, index=False)
        else:
            found.to_csv(part, index=False)
        os.replace(part, options.out)  # whole or not at all
    finally:
        part.unlink(missing_ok=True)
    say(f"{len(found)} rows: {options.out}")
    return 0


def bench(options) -> int:
    from contrec import bench
    from contrec.checks import one_of

    one_of("stage", options.stage or "train-step", BENCH_STAGES)
    one_of("device", options.device, ("cpu", "cuda"))
    bench.available(options.device)
    if options.record and options.stage:
        raise ValueError("--record wants all stages in one run: leave the stage out")
    outcomes, start = {}, time.perf_counter()
    stages = [options.stage] if options.stage else BENCH_STAGES
    for stage in itertools.chain.from_iterable(bench.PARTS.get(stage, (stage,)) for stage in stages):
        benchmark = bench.benchmark(stage, options.device)
        outcomes[stage] = outcome = bench.run(benchmark, options.device)
        say(f"\n{stage}: {benchmark.shape}\n{table(outcome.table)}")
        for line in (*outcome.checks, *outcome.verdicts):
            say(str(line))
        say(f"ratio={outcome.ratio:.2f}")
    differ = [stage for stage, outcome in outcomes.items() if not outcome.equal]
    if options.record and not differ:
        from contrec.study.efficiency import record_bench

        record_bench(outcomes, options.device, time.perf_counter() - start)
    return fail(f"results differ in {', '.join(differ)}", 1) if differ else 0
