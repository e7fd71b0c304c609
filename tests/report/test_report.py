"""The report: all that is recorded is in it, nothing from outside becomes HTML, equal inputs give equal bytes."""

import base64
import json
import re
from html.parser import HTMLParser

import pandas as pd
import pytest

from contrec import cli, paths
from contrec.artifacts import stale
from contrec.report import evidence, markup, sections, summary
from contrec.report import page as report

EVIL = "\"><script>alert(1)</script><img src=x onerror=alert(1)>&amp;'${body}$body"
# origin: a PNG of one grey pixel, written by hand from the format's specification
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCBd81ytgAAAABJRU5ErkJggg=="


class Tags(HTMLParser):
    """Tags with their attributes, anchors, links and texts of a page."""

    def __init__(self, page: str):
        super().__init__()
        self.tags, self.open = [], []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in ("meta", "img", "br", "wbr"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, f"</{tag}> closes nothing"

    def all(self, tag: str, attribute: str) -> list[str]:
        return [a[attribute] for t, a in self.tags if t == tag and attribute in a]


def cell(source="", tags=(), outputs=(), kind="code"):
    return {"cell_type": kind, "source": source, "metadata": {"tags": list(tags)}, "outputs": list(outputs)}


def result(**data):
    return {"output_type": "display_data", "data": {name.replace("_", "/", 1): value for name, value in data.items()}}


def notebook(*cells, papermill=None, title="# Is it so? (Table 9)"):
    first = cell(title, kind="markdown")
    return json.dumps({"cells": [first, *cells], "metadata": {"papermill": papermill} if papermill else {}})


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project with printed tables alone: nothing recorded, one notebook that was not run."""
    printed = paths.published()
    for name in ("reproduced", "figures", "notebooks"):
        (tmp_path / name).mkdir()
        monkeypatch.setattr(paths, name, lambda name=name: tmp_path / name)
    monkeypatch.setattr(paths, "root", lambda: tmp_path)
    monkeypatch.setattr(paths, "published", lambda: printed)
    monkeypatch.setattr(evidence, "commits", lambda: {})
    source = cell('preset = "tiny"\nsource = None\nsave_figures = False', ["parameters"])
    (tmp_path / "notebooks" / "02_reconstruction.ipynb").write_text(notebook(source))
    return tmp_path


def execute(project, *cells, name="02_reconstruction", **settings):
    run = {
        "duration": 61.4,
        "end_time": "2026-01-31T10:20:30.5+00:00",
        "parameters": {"dataset": "planted", "seeds": [7]},
    }
    folder = project / "artifacts"
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.ipynb").write_text(notebook(*cells, papermill=run, **settings))
    (folder / f"{name}.html").write_text("")
    return folder


def part(page: str, anchor: str) -> str:
    return re.search(rf'<section aria-labelledby="{anchor}">.*?</section>', page, flags=re.S)[0]


@pytest.fixture(scope="module")
def real():
    """The page of this project's own records; no notebook was executed."""
    return report.page(paths.root() / "nowhere", "planted", "tiny")


def test_every_record_and_figure_is_in_it_with_its_fingerprint(real):
    found = [*evidence.records(), *evidence.figures()]
    assert len(found) >= 12
    for record in found:
        assert f">{markup.text(record.name)}<" in part(real, "records").replace("<wbr>", "")
        assert record.entry["fingerprint"] in real and record.entry["revision"]["commit"][:7] in real
    for figure in evidence.figures():
        data = base64.b64encode(figure.path.with_suffix(".svg").read_bytes()).decode()
        assert f'src="data:image/svg+xml;base64,{data}"' in real
        assert f"fingerprint {figure.entry['fingerprint']}" in part(real, figure.notebook[3:])


def test_what_is_stale_is_shown_as_stale(real):
    marked = [r for r in (*evidence.records(), *evidence.figures()) if r.note]
    for record in marked:
        assert markup.text(stale.reason(record.path)) in part(real, "records")
        by_name = [s for s in sections.SECTIONS if s.notebook == record.notebook]
        (section,) = by_name or [s for s in sections.SECTIONS if any(map(record.below, s.records))]
        assert "stale" in part(real, section.anchor), record.name
    rows = re.findall(r'<tr class="own".*?</tr>', part(real, "headline"))
    software = "software_released_leave_one_out_laptop_tuned" in {r.path.stem for r in marked}
    assert any(">ContRec (tuned), stale<" in row for row in rows) == software
    assert any(">ContRec (tuned)<" in row for row in rows)  # LastFM


def test_the_page_is_sound_and_stands_alone(real):
    tags = Tags(real)
    assert tags.open == []
    anchors = [a["id"] for _, a in tags.tags if "id" in a]
    assert len(set(anchors)) == len(anchors)
    links = tags.all("a", "href")
    assert {link[1:] for link in links} <= set(anchors) and len(links) > len(sections.SECTIONS)
    assert {t for t, _ in tags.tags}.isdisjoint({"script", "link", "iframe", "object", "form", "video", "base"})
    assert all(src.startswith("data:image/") for src in tags.all("img", "src"))
    assert all(a.get("alt") for t, a in tags.tags if t == "img")
    assert (
        "@import" not in real and "url(" not in real and not [a for _, a in tags.tags for n in a if n.startswith("on")]
    )
    levels = [int(t[1]) for t, _ in tags.tags if re.fullmatch("h[1-6]", t)]
    assert levels.count(1) == 1 and all(b - a <= 1 for a, b in zip(levels, levels[1:]))
    assert "$" not in real.split("<body>")[0] and "/tmp/" not in real


def test_recorded_numbers_stand_beside_printed_ones(real):
    head = part(real, "headline")
    row = re.search(r'<tr class="own".*?ContRec \(tuned\).*?</tr>', head)[0]
    # origin: data/reproduced, mean of three seeds; ContRec's Table 2
    assert ">.1143<" in row and ">.0539<" in row and 'class="ring"' in row and 'class="bar"' in row
    assert re.search(r"\d+ of the \d+ baselines that were run here are ahead of the printed ContRec", head)
    software = sections.chart(("software", "released", "leave_one_out"))
    assert "are ahead of the printed DeftRec" in software and "printed ContRec" not in software
    assert "seen-kept" not in software and "seen items kept" not in software  # another question
    assert '<span class="mark up">above</span>' in real and '<span class="mark down">below</span>' in real


def test_equal_inputs_give_equal_bytes(real):
    assert report.page(paths.root() / "nowhere", "planted", "tiny") == real


def test_what_is_not_there_is_not_run_with_its_command(project):
    page = report.page(project / "artifacts", "planted", "tiny")
    own = part(page, "reconstruction")
    assert "contrec run 02_reconstruction -p source released -p preset laptop -p save_figures True" in own
    assert "contrec study --datasets planted --preset tiny" in own and "Is it so?" in own
    assert "this version has no such notebook" in part(page, "ablation") and "Recorded" not in part(page, "ablation")
    assert "contrec fill baselines --datasets lastfm --split time_point --record" in part(page, "recommendation")
    assert "ContRec on ml1m" in part(page, "training") and "--datasets ml1m" in part(page, "training")
    assert "a full run, recorded" in part(page, "headline")
    contents = re.search("<nav.*?</nav>", page, flags=re.S)[0]
    assert contents.count("not run") == len(sections.SECTIONS)
    for command in re.findall(r"<code>contrec (.*?)</code>", page):
        cli.parser().parse_args(command.split())


def test_a_run_is_shown_with_its_provenance(project):
    image, html = result(image_png=PIXEL), result(text_html=["<table><tr><td>4", "2</td></tr></table>"])
    line = {"output_type": "stream", "name": "stdout", "text": ["config 4f1c9a  data planted  revision 1a2b3c4\n"]}
    noise = {"output_type": "stream", "name": "stderr", "text": ["noise"]}
    folder = execute(
        project,
        cell(outputs=[line]),
        cell("## The figure\nIt shows *all*.", kind="markdown"),
        cell(tags=["report"], outputs=[image, noise]),
        cell(tags=["report", "headline"], outputs=[html]),
        cell(outputs=[result(text_html="<table><tr><td>not tagged</td></tr></table>")]),
    )
    page = report.page(folder, "planted", "tiny")
    own = part(page, "reconstruction")
    about = "planted · seeds 7 · config 4f1c9a data planted revision 1a2b3c4 · 2026-01-31 10:20 · 61 s"
    assert about in own and 'href="02_reconstruction.html"' in own
    assert 'alt="The figure. It shows all."' in own and f"data:image/png;base64,{PIXEL}" in own
    assert "42" not in own and ">42<" in part(page, "headline") and 'href="#headline"' in own
    assert "noise" not in page and "not tagged" not in page
    assert "1 of 1" in page and "61 s" in part(page, "notebooks") and "in this run</" not in own


def test_a_notebook_that_stopped_says_why(project):
    stopped = {"output_type": "error", "ename": "ValueError", "evalue": EVIL, "traceback": []}
    page = report.page(execute(project, cell(outputs=[stopped])), "planted", "tiny")
    assert "ValueError: &quot;&gt;&lt;script&gt;" in part(page, "reconstruction")
    assert "stopped: 02_reconstruction" in page and "<script" not in page


def test_nothing_from_outside_becomes_html(project):
    frame = pd.DataFrame({"title": [EVIL, "x"], "verdict": ["above", "not run"]})
    raw = f"<table onclick=alert(1)><tr><td colspan=2 style='x'>{EVIL}</td><td><b>{EVIL}</b></td></tr></table>{EVIL}"
    outputs = [result(text_html=frame.to_html()), result(text_html=raw)]
    outputs += [{"output_type": "stream", "name": "stdout", "text": EVIL}, result(image_png=PIXEL)]
    cells = [cell(f"## {EVIL}\n{EVIL}", kind="markdown"), cell(tags=["report"], outputs=outputs)]
    folder = execute(project, *cells)
    (project / "reproduced" / "cases").mkdir()
    path = project / "reproduced" / "cases" / "other.csv"
    frame.assign(n_users=3).to_csv(path, index=False)
    about = {
        "notebook": "02_reconstruction",
        "config": {"preset": EVIL},
        "dataset": {"name": EVIL},
        "fingerprint": EVIL,
        "outputs": {},
    }
    (project / "figures" / "x.svg").write_text(f"<svg><title>{markup.text(EVIL)}</title></svg>")
    (project / "figures" / "x.json").write_text(json.dumps(about))
    frame.to_csv(project / "figures" / "x.csv", index=False)
    path.with_suffix(".json").write_text(json.dumps({**about, "notebook": "09_case_studies"}))
    (project / "notebooks" / "02_reconstruction.ipynb").write_text(
        notebook(cell("a = 1", ["parameters"]), title=f"# {EVIL}")
    )
    page = report.page(folder, EVIL, "tiny")
    tags = Tags(page)
    assert {t for t, _ in tags.tags}.isdisjoint({"script", "b"}) and tags.open == []
    assert not [a for _, attributes in tags.tags for a in attributes if a.startswith("on")]
    assert all(src.startswith("data:image/") for src in tags.all("img", "src"))
    shown = page.replace(markup.text(EVIL), "")
    assert shown != page and "onerror" not in shown.replace("&lt;img src=x onerror=alert(1)&gt;", "")
    shown = part(page, "case-studies").replace("<wbr>", "")
    assert markup.text(EVIL) in shown  # titles of a recorded table of no section's own kind


def test_a_table_is_read_cell_by_cell():
    html = markup.tables("<table><thead><tr><th></th><th>k</th><th>v</th></tr></thead><tbody><tr><th>3</th><td>a<td>1.5"
                         "<tr><th>4</th><td>b</td><td>NaN</td></tr></table><table><tr><td>z", "two & more")  # fmt: skip
    assert "two &amp; more" in html and 'tabindex="0"' in html and html.count("<table>") == 1
    assert '<td>a</td><td class="num">1.5</td>' in html and '<td class="num">–</td>' in html
    assert ">3<" not in html  # the row numbers of a frame
    verdicts = markup.tables(
        "<table><tr><td>not run</td><td>a/b</td></tr><tr><td>a/b</td><td>above</td></tr></table>", "c"
    )
    assert '<tr><td><span class="mark none">not run</span></td><td>a/<wbr>b</td></tr>' in verdicts
    assert '<tr><td>a/<wbr>b</td><td><span class="mark up">above</span></td></tr>' in verdicts
    assert markup.tables("<p>no table</p>", "x") == ""


def test_a_named_index_is_one_row_of_the_head():
    frame = pd.DataFrame({"HR@10": [0.25, 0.5]}, index=pd.Index(["ease", "mf"], name="model"))
    html = markup.table(frame, "ranking")
    assert '<th scope="col">model</th><th scope="col" class="num">HR@10</th></tr></thead>' in html
    assert '<th scope="row">ease</th><td class="num">0.25</td>' in html


def test_long_tables_open_at_a_touch():
    source = pd.DataFrame({"a": range(9)}).to_html(index=False)
    assert markup.tables(source, "c", fold=8).startswith("<details") and "(9 rows)" in markup.tables(
        source, "c", fold=8
    )
    assert markup.tables(source, "c", fold=9).startswith("<div") and markup.tables(source, "c").startswith("<div")


def columns(html: str) -> list[list[str]]:
    """The head of each table."""
    return [re.findall(r"<th[^>]*>(.*?)</th>", head) for head in re.findall("<thead>(.*?)</thead>", html)]


def test_a_table_wider_than_a_screen_goes_on_below():
    wide = pd.DataFrame({"model": ["a", "b"], **{f"c{n}": ["word" * 5] * 2 for n in range(9)}})
    parts = columns(markup.table(wide, "wide"))
    assert len(parts) == 3 and [part[0] for part in parts] == ["model"] * 3  # 860 px: four words of 20 letters
    assert [name for part in parts for name in part[1:]] == list(wide)[1:]
    assert "Table: wide, continued" in markup.table(wide, "wide")
    numbers = pd.DataFrame({f"n{n}": ["0.1234 [0.1000, 0.1500]"] for n in range(6)})  # they are not broken into lines
    assert len(columns(markup.table(numbers, "numbers"))) == 2
    texts = pd.DataFrame({f"t{n}": ["some words that may be broken " * 5] for n in range(6)})
    assert len(columns(markup.table(texts, "texts"))) == 1


def test_what_tells_rows_apart_is_repeated():
    frame = pd.DataFrame(
        {"data": ["x", "x"], "metric": ["HR", "NDCG"], **{f"c{n}": ["word" * 6] * 2 for n in range(5)}}
    )
    assert [part[:2] for part in columns(markup.table(frame, "t"))] == [["data", "metric"]] * 2
    parts = columns(markup.table(frame.assign(metric="HR"), "t"))
    assert [part[0] for part in parts] == ["row"] * 2 and "metric" not in parts[1]


def test_headline_tables_are_open_and_all_others_folded(real):
    opened = re.sub("<details.*?</details>", "", real, flags=re.S)
    assert '<div class="scroll"' not in opened.replace(part(opened, "headline"), "")
    assert '<div class="scroll"' in part(opened, "headline") and real.count('<div class="scroll"') > 40


def test_the_first_screen_answers(real):
    said = re.search('<div class="answer">(.*?)</div>', real)[1]
    assert said == "".join(f"<p>{markup.text(line)}</p>" for line in summary.answer()) and said.count("<p>") == 2


def test_a_run_on_any_data_has_its_ranking(project):
    ranking = {"model": ["ease", "contrec"], "recipe": ["", "tuned"], "HR@10": [0.5, 0.25], "NDCG@10": [0.3, 0.2]}
    ranking = pd.DataFrame({**ranking, "seeds": 1, "seed": 0, "run": "abc"})
    found = report.Ranked(ranking, {"ease": [f"contrec recommend abc --user={EVIL}"]})
    page = report.page(project / "nowhere", "my.csv", "tiny", found)
    assert "In this run on my.csv, EASE ranks best, HR@10 .5000; ContRec (tuned) has .2500." in page
    own = part(page, "ranked")
    assert own.index(">ease<") < own.index(">contrec<") and ">0.2500<" in own
    assert markup.text(f"contrec recommend abc --user={EVIL}") in own and "<script" not in own
    assert 'id="ranked"' not in report.page(project / "nowhere", "my.csv", "tiny")
    (line,) = summary.of_run(ranking.iloc[1:], "lastfm")
    assert line == "In this run on lastfm, ContRec (tuned) ranks best: HR@10 .2500."


def test_an_interval_is_drawn_to_scale():
    row = {"label": "<m>", "kind": "own", "value": 0.1, "low": 0.05, "high": 0.15, "published": float("nan")}
    html = markup.intervals({"g": [row, {**row, "value": None, "low": None, "high": None, "published": 0.2}]}, "c")
    # origin: by hand; the largest value is .2, so the axis goes from 0 to .2
    assert 'class="bar" style="left:25.00%;width:50.00%"' in html and 'class="dot" style="left:50.00%"' in html
    assert 'class="ring" style="left:100.00%"' in html and html.count('class="dot"') == 1 and "&lt;m&gt;" in html
    assert '<td class="num" role="cell">.1000</td><td class="num" role="cell">–</td>' in html
    assert "<tbody" not in markup.intervals({}, "nothing")


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("ease", "EASE"), ("sasrec/bce", "SASRec, BCE loss"), ("contrec tuned", "ContRec (tuned)"),
        ("contrec tuned/user-token", "User token alone (tuned)"), ("contrec paper/direct-head", "Direct head (paper)"),
        ("my_own/model", "my_own/model"),
    ],
)  # fmt: skip
def test_models_have_the_names_of_the_figures(model, name):
    assert sections.label(model) == name


def test_a_record_of_a_folder_belongs_to_its_section(project):
    (project / "reproduced" / "search").mkdir()
    record = evidence.Record(project / "reproduced" / "search" / "x.csv", {})
    assert record.below("search/*") and not record.below("*") and not record.below("*_baselines.csv")
    assert evidence.Record(project / "reproduced" / "a_baselines.csv", {}).below("*_baselines.csv")


def test_notebooks_of_the_sections_exist_or_are_to_come():
    names = [s.notebook for s in sections.SECTIONS]
    assert len({s.anchor for s in sections.SECTIONS}) == len(names) == 10
    assert {p.stem for p in paths.notebooks().glob("0*.ipynb")} <= set(names)


def test_every_notebook_has_cells_for_the_report():
    for path in paths.notebooks().glob("0*.ipynb"):
        tags = [c["metadata"].get("tags", []) for c in json.loads(path.read_text())["cells"]]
        assert any(evidence.TAG in t for t in tags), f"{path.name}: tag a cell with {evidence.TAG!r}"
        assert all(evidence.TAG in t for t in tags if evidence.HEADLINE in t), path.name


def test_the_command_writes_it_and_says_where(project, monkeypatch, capsys):
    monkeypatch.setattr(paths, "artifacts", lambda: project / "made")
    assert cli.main(["report", "--datasets", "planted,lastfm"]) == 0
    printed = capsys.readouterr().out
    for dataset in ("planted", "lastfm"):
        path = project / "made" / "notebooks" / f"{dataset}-tiny" / "report.html"
        assert path.read_text(encoding="utf-8").startswith("<!DOCTYPE html>") and str(path) in printed
    assert cli.main(["report", "--datasets", "lastm"]) == 2 and "dataset must be one of" in capsys.readouterr().err


def test_a_recorded_grid_and_search_are_shown(project):
    where = {"dataset": "software", "source": "released", "split": "leave_one_out", "recipe": None, "preset": None}
    rows = [
        {
            **where,
            "model": model,
            "seed": 0,
            "metric": metric,
            "value": value,
            "low": value - 0.01,
            "high": value + 0.01,
        }
        for model, value in (("ease", 0.1), ("popularity", 0.05), ("sasrec", 0.08))
        for metric in ("HR@10", "NDCG@10")
    ]
    frame = pd.DataFrame(rows).assign(n_users=1351, run="r", revision="v")
    frame.to_csv(project / "reproduced" / "software_released_leave_one_out_baselines.csv", index=False)
    (project / "reproduced" / "search").mkdir()
    trials = {"model": ["ease", "ease"], "trial": [0, 1], "settings": ['{"ridge": 5}', '{"ridge": 500}']}
    trials = pd.DataFrame({**trials, "NDCG@10": [0.02, 0.03], "seconds": [1.0, 1.0]})
    trials.to_csv(project / "reproduced" / "search" / "lastfm_released.csv", index=False)
    page = report.page(project / "artifacts", "planted", "tiny")
    own = part(page, "recommendation")
    assert re.search(r'<tr class="other".*?EASE.*?>\.1000<', own) and "0.1000 [0.0900, 0.1100]" in own
    assert "ridge&quot;: 500" in own and "ridge&quot;: 5}" not in own
    assert "software, leave_one_out: 22 of 25 models: repeat_history, itemknn, itemknn/recency" in own
    assert "lastfm, leave_one_out: 25 of 25 models; some" in own  # nothing of it is recorded: no names
    assert "baselines that were run" not in own  # no ContRec of this dataset to stand beside


@pytest.mark.parametrize("damaged", ["", "[]", "{}", '{"cells": [{}], "metadata": {}}', '{"cells": [], "metadata": 1}'])
def test_a_damaged_executed_notebook_is_named(project, damaged):
    folder = execute(project, cell("1"))
    file = next(folder.glob("*.ipynb"))
    file.write_text(damaged)
    with pytest.raises(ValueError, match=f"{file.name} is no executed notebook, or is damaged .*; remove it"):
        report.page(folder, "planted", "tiny")
