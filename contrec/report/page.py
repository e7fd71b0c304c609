"""The study as one page: what is published, recorded and of this run, with provenance, and what was not run.

The page is one file without scripts. It is made from ``data/published``, ``data/reproduced``, ``figures`` and the
executed notebooks of one run; nothing is computed but intervals of recorded ranks. Equal inputs give equal bytes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from string import Template

import pandas as pd

from contrec.files import replacing
from contrec.papers import claims
from contrec.papers.published import contradictions, not_available, published
from contrec.report.evidence import Notebook, Record, commits, figures, notebooks, records
from contrec.report.markup import details, figure, folded, mark, table, text
from contrec.report.sections import METRIC, RECORD, SECTIONS, Gap, Section, chart, ranked, recording, rows, with_contrec
from contrec.report.summary import answer, of_run
from contrec.study import tables

LISTS = {"contradictions": contradictions, "not_available": not_available}


@dataclass(frozen=True)
class Part:
    """A part of the page: anchor, name in the contents, what the contents say beside it ("" or "not run"), HTML."""

    anchor: str
    name: str
    remark: str
    html: str


@dataclass(frozen=True)
class Evidence:
    """All that a page is made from: recorded tables and figures, dates of commits, the notebooks, their command."""

    tables: list[Record]
    figures: list[Record]
    made: dict[str, str]
    notebooks: list[Notebook]
    study: str


@dataclass(frozen=True)
class Ranked:
    """What a study has found on its data, which may be a file of one's own.

    Attributes:
        ranking: as :func:`contrec.study.tables.best_first`.
        asks: name of a model -> commands that ask it.
    """

    ranking: pd.DataFrame
    asks: dict[str, list[str]]


def write(folder: Path, dataset: str, preset: str, found: Ranked | None = None) -> Path:
    """Write the page of a run beside its executed notebooks, as ``report.html``; whole or not at all.

    Args:
        folder: of the executed notebooks; it may be empty.
        dataset, preset: of the run, for the title and for the commands that run what is missing.
        found: its ranking; None: it is not known.
    """
    path = Path(folder) / "report.html"
    with replacing(path) as temporary:
        temporary.write_text(page(Path(folder), dataset, preset, found), encoding="utf-8")
    return path


def page(folder: Path, dataset: str, preset: str, found: Ranked | None = None) -> str:
    """The whole page, as :func:`write` writes it."""
    study = f"contrec study --datasets {dataset} --preset {preset}"
    evidence = Evidence(records(), figures(), commits(), notebooks(folder), study)
    sections = [_section(section, evidence) for section in SECTIONS]
    parts = [_headline(evidence), _best(found, dataset), _claims(), *sections]
    parts += [_other_notebooks(evidence), _run(evidence), _records(evidence)]
    says = [*answer(), *(of_run(found.ranking, dataset) if found else ())]
    parts = [p for p in parts if p.html]
    entry = '<li><a href="#{}">{}</a>{}</li>'
    marks = {p.anchor: f' <span class="mark none">{p.remark}</span>' if p.remark else "" for p in parts}
    return Template(Path(__file__).with_suffix(".html").read_text(encoding="utf-8")).substitute(
        title=text(f"contrec: {dataset}, {preset}"),
        run=text(f"this run: {dataset}, preset {preset}"),
        answer="".join(f"<p>{text(line)}</p>" for line in says),
        tiles=_tiles(evidence, sum(bool(p.remark) for p in sections)),
        contents="".join(entry.format(p.anchor, text(p.name), marks[p.anchor]) for p in parts),
        body="".join(p.html for p in parts),
    )


def _part(anchor: str, name: str, lead: str, *blocks: str, remark: str = "") -> Part:
    head = f'<h2 id="{anchor}">{text(name)}</h2><p class="lead">{text(lead)}</p>'
    return Part(anchor, name, remark, f'<section aria-labelledby="{anchor}">{head}{"".join(blocks)}</section>')


def _pieces(html: str, heading: str = "") -> str:
    """Figures and tables one after the other, side by side where there is room."""
    return f'{heading}<div class="pieces">{html}</div>' if html else ""


def _tiles(evidence: Evidence, missing: int) -> str:
    """The study in a few numbers: ContRec's recipes, the best of the rest, this run."""
    tiles = []
    for key in with_contrec()[:1]:
        verdicts = tables.comparison(*key, METRIC).set_index("model").get("verdict", pd.Series(dtype=str))
        frame = ranked(key)
        own = frame[frame.kind == "own"].to_dict("records")
        best = [frame[frame.kind == kind].head(1).to_dict("records") for kind in ("control", "other")]
        for row in [*own, *best[0], *best[1]]:
            word = verdicts.get(row["model"], "") if row in own else ""
            says = f"{METRIC}, {key[0]}" + (f"; in print {row['published']:.4f}" if row in own and word else "")
            tiles.append((f"{row['value']:.4f}", row["label"], says, word))
    done = [n for n in evidence.notebooks if n.seconds is not None]
    minutes = f"{sum(n.seconds for n in done) / 60:.1f} minutes, added up"  # two may have run at a time
    failed = [n.stem for n in done if n.error]
    says = f"{minutes}; stopped: {', '.join(failed)}" if failed else minutes
    tiles.append((f"{len(done)} of {len(evidence.notebooks)}", "notebooks in this run", says, ""))
    tiles.append((f"{len(SECTIONS) - missing} of {len(SECTIONS)}", "questions with results", "the rest: not run", ""))
    line = '<li><strong>{} {}</strong><span class="what">{}</span><span class="says">{}</span></li>'
    return "".join(line.format(text(n), mark(word), text(what), text(says)) for n, what, says, word in tiles)


def _headline(evidence: Evidence) -> Part:
    """Published, reproduced, this run: a chart of what is recorded, then the tables that notebooks tag as headlines."""
    charts = "".join(chart(key) for key in with_contrec())
    said = [(n, p) for n in evidence.notebooks for p in n.pieces if p.headline]
    shown = "".join(f'<div class="wide">{_run_of(n)}{p.html}</div>' for n, p in said)
    if not said:
        shown = "".join(table(tables.comparison(*key, METRIC), f"{', '.join(key)}: {METRIC}") for key in with_contrec())
    lead = "Does the method beat what is simple, and what the papers print?"
    nothing = _gaps([("a full run, recorded", RECORD.format("lastfm", "laptop", "paper,tuned"))])
    return _part("headline", "Published, reproduced, this run", lead, charts or nothing, _pieces(shown))


def _best(found: Ranked | None, dataset: str) -> Part:
    """What ranks best on the data of this run, and how it is asked; without HTML where that is not known."""
    name, lead = "What ranks best here", f"Every model of this run on {dataset}, best first"
    if found is None:
        return Part("ranked", name, "", "")
    asks = "".join(
        f"<h3>Ask {text(model)}</h3>" + "".join(f"<pre>{text(command)}</pre>" for command in commands)
        for model, commands in found.asks.items()
    )
    frame = found.ranking.drop(columns="run")
    frame = frame.assign(**{column: frame[column].map("{:.4f}".format) for column in (METRIC, "NDCG@10")})
    shown = table(frame, f"{dataset}: every model, best first")
    return _part("ranked", name, lead, shown, asks)


def _claims() -> Part:
    """What the papers' own numbers say of the papers' claims."""
    found = claims.ledger()
    counts = claims.summary(found)
    columns = ["paper", "where", "claim", "printed", "found"]
    grave = found[found.status.isin(("contradicted", "equal elsewhere"))][columns]
    read_so = found[found.status == "one reading"][[*columns, "reading"]]
    return _part(
        "claims", "Claims", "Do the papers' own numbers bear out what they say?", folded(counts, "claims by status"),
        details(f"Contradicted, or equal elsewhere: {len(grave)}", table(grave, "contradicted or equal elsewhere")),
        details(f"Ruled out under one reading: {len(read_so)}", table(read_so, "ruled out under one reading")),
    )  # fmt: skip


def _section(section: Section, evidence: Evidence) -> Part:
    own = [r for r in evidence.tables if r.notebook == section.notebook or any(map(r.below, section.records))]
    images = [f for f in evidence.figures if f.notebook == section.notebook]
    notebook = next((n for n in evidence.notebooks if n.stem == section.notebook), None)
    gaps = list(section.gaps()) if section.gaps else []
    if notebook is None:
        gaps.append((f"{section.notebook}: this version has no such notebook", ""))
    else:
        nothing = section.gaps is None and not own and not images
        gaps += [(f"{section.notebook} on real data, recorded", recording(section.notebook))] if nothing else []
        gaps += [(f"{section.notebook} in this run", evidence.study)] if notebook.seconds is None else []
    recorded = "".join(_drawn(f, evidence.made) for f in images) + (section.view or rows)(own)
    this = _this_run(notebook) if notebook and notebook.seconds is not None else ""
    printed = "".join(_printed(name) for name in section.printed)
    return _part(
        section.anchor, section.name, notebook.question if notebook else section.question,
        _pieces(recorded, "<h3>Recorded</h3>"), this,
        printed and details("What the papers print", printed),
        details(f"Not run: {len(gaps)}", _gaps(gaps)) if gaps and (own or images or this) else _gaps(gaps),
        remark="" if own or images or this else "not run",
    )  # fmt: skip


def _gaps(gaps: list[Gap]) -> str:
    """What was not run, each with its command where there is one."""
    line, code = "<li>{} {} {}</li>", "<code>{}</code>"
    items = [line.format(mark("not run"), text(what), how and code.format(text(how))) for what, how in gaps]
    return f'<ul class="gaps">{"".join(items)}</ul>' if items else ""


def _drawn(record: Record, made: dict[str, str]) -> str:
    """A recorded figure, where it comes from, and the numbers behind it."""
    kind = "svg" if record.path.with_suffix(".svg").is_file() else "png"
    data = record.path.with_suffix(f".{kind}").read_bytes()
    title = re.search(rb"<title>([^<]*)</title>", data)
    name = record.path.name.replace("_", " ")
    alt = f"Figure {unescape(title[1].decode()) if title else name}. Its numbers follow it as a table."
    before = {"seeds": " · seeds ", "revision": " · revision ", "made at": " of ", "fingerprint": " · fingerprint "}
    words = "".join(before.get(key, " · ") + value for key, value in record.about(made).items()).removeprefix(" · ")
    about = f'<span class="about">{text(words or "no provenance record")}</span>'
    image = figure(data, "svg+xml" if kind == "svg" else kind, alt, f"<strong>{text(name)}</strong> {about}")
    return f"<div>{image}{details('The numbers', table(record.frame, name)) if len(record.frame) else ''}</div>"


def _run_of(notebook: Notebook) -> str:
    """What a notebook was run with, when, for how long, and the way to its page."""
    words = f"{text(notebook.about)} · {notebook.seconds:.0f} s · {_link(notebook)}"
    return f'<p class="about">{words}</p>'


def _link(notebook: Notebook) -> str:
    name = text(notebook.stem)
    return f'<a href="{name}.html">{name}</a>' if notebook.has_page else name


def _this_run(notebook: Notebook) -> str:
    about = "<h3>This run</h3>" + _run_of(notebook)
    if notebook.error:
        about += f'<p class="stopped">{mark("stopped")} {text(notebook.error)}</p>'
    if any(p.headline for p in notebook.pieces):
        about += '<p class="about">Its headline table stands <a href="#headline">above</a>.</p>'
    return about + _pieces("".join(p.html for p in notebook.pieces if not p.headline))


def _printed(name: str) -> str:
    """A table of a paper, cell by cell as printed; or a list about the papers."""
    if name in LISTS:
        return table(LISTS[name](), name.replace("_", " "))
    frame = published(name)
    sd = frame.sd.map(lambda x: "" if pd.isna(x) else f" ± {x:g}")
    frame["cell"] = frame.digits.where(frame.digits != "", frame.text) + sd
    wide = frame.pivot(index="row", columns="column", values="cell").fillna("")
    wide = wide.loc[frame.row.unique(), frame.column.unique()].rename_axis(index=None, columns=None)
    return table(wide, f"{frame.paper.iloc[0]}, {frame.table.iloc[0]}")


def _other_notebooks(evidence: Evidence) -> Part:
    """What notebooks show that no section is about; without HTML where there is nothing."""
    named = {section.notebook for section in SECTIONS}
    others = [n for n in evidence.notebooks if n.stem not in named and n.pieces]
    shown = "".join(
        f"<h3>{text(n.question)}</h3>{_run_of(n)}{_pieces(''.join(p.html for p in n.pieces))}" for n in others
    )
    return _part("more", "More", "What other notebooks show", shown) if shown else Part("more", "More", "", "")


def _run(evidence: Evidence) -> Part:
    """The notebooks of this run: question, duration, and the executed page where there is one."""
    longest = max([n.seconds or 0.0 for n in evidence.notebooks], default=0.0) or 1.0
    items = []
    for n in evidence.notebooks:
        took = mark("not run") if n.seconds is None else f"{n.seconds:.0f} s {mark('stopped' if n.error else '')}"
        bar = f'<span class="took" style="width:{100 * (n.seconds or 0.0) / longest:.0f}%"></span>'
        items.append(f"<li><strong>{_link(n)}</strong> <span>{took}</span><p>{text(n.question)}</p>{bar}</li>")
    gaps = [] if any(n.seconds is not None for n in evidence.notebooks) else [("this run", evidence.study)]
    lead = "Each page has all figures and tables of this run, with the text around them"
    shown = f'<ul class="notebooks">{"".join(items)}</ul>'
    return _part("notebooks", "Notebooks of this run", lead, _gaps(gaps), shown)


def _records(evidence: Evidence) -> Part:
    """Every recorded file with its provenance."""
    kinds = {"figure": evidence.figures, "table": evidence.tables}
    about = [{"file": r.name, "kind": k, **r.about(evidence.made)} for k, found in kinds.items() for r in found]
    shown = folded(pd.DataFrame(about).fillna("–"), "recorded figures and tables") if about else ""
    return _part("records", "Where the numbers come from", "Every recorded file with its provenance", shown)
