"""Figures: legible at print size, methods told apart, equal inputs give equal bytes."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

matplotlib = pytest.importorskip("matplotlib", reason="figures need the extra [notebooks]")
matplotlib.use("Agg")

from contrec import plots  # noqa: E402
from contrec.plots import theme  # noqa: E402


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def history(rng, seeds=3):
    rows = [
        (m, e, s, 0.1 + np.exp(-e / 5) * rng.uniform(0.9, 1.1))
        for m in ("vq", "vae")
        for e in range(9)
        for s in range(seeds)
    ]
    return pd.DataFrame(rows, columns=["model", "epoch", "seed", "loss"])


def results():
    rows = [
        ("contrec/direct-head", "HR@10", 0.09, 0.08, 0.10, "reproduced"),
        ("contrec", "HR@10", 0.10, 0.09, 0.11, "reproduced"),
        ("contrec", "HR@10", 0.0539, 0.0505, 0.0573, "published"),
        ("tiger", "HR@10", 0.0467, None, None, "published"),
        ("popularity", "HR@10", 0.048, 0.04, 0.055, "reproduced"),
        ("contrec", "NDCG@10", 0.05, 0.045, 0.055, "this run"),
        ("contrec", "HR@20", 0.2, 0.1, 0.3, "reproduced"),
    ]
    return pd.DataFrame(rows, columns=["model", "metric", "value", "low", "high", "kind"])


def path(rng):
    items = rng.normal(size=(60, 8)) + 4 * rng.normal(size=(3, 8))[np.arange(60) % 3]
    way = np.array([w * items[7] + (1 - w) * rng.normal(size=8) for w in np.linspace(0, 1, 12)])
    return way, items, 7, [1, 2, 2, 5], [f"Item {i} for $5 and a very long title that goes on\n" for i in range(60)]


def rate_distortion():
    loss = pd.DataFrame([("vq", e, s, 1 / (e + s)) for e in range(1, 9) for s in (1, 2)]).set_axis(
        ["model", "epoch", "seed", "loss"], axis=1
    )
    rows = [(d, s, 16 * k, 1 / (k + s)) for d in ("vq", "diffusion/one-step") for s in (1, 2) for k in (1, 2, 4)]
    rates = pd.DataFrame(rows, columns=["decoder", "seed", "rate_bits", "mse"])
    codes = np.where(rates["decoder"] == "vq", 0.9, np.nan)
    return loss, rates.assign(cosine=0.9, overlap=0.5, **{"HR@10": 0.1}, used=codes, collisions=codes / 9)


def figures(rng):
    variances = pd.DataFrame(
        [
            (m, k, i, 2.0 ** (-i * (1 + 3 * (m == "vae"))))
            for m in ("vae", "sigma_vae")
            for k in (1, 2)
            for i in range(8)
        ],
        columns=["model", "encoder", "channel", "variance"],
    )
    lengths = pd.DataFrame(
        [("lastfm", n) for n in (5, 5, 40, 90)] + [("beauty", n) for n in (4, 8)], columns=["dataset", "length"]
    )
    kinds = [("samples, their mean", n, n / 10, 0.1 - 0.05 / n) for n in (1, 2, 4)]
    sampling = pd.DataFrame([*kinds, ("point estimate", 1, 0.02, 0.1)], columns=["kind", "n", "seconds", "HR@10"])
    sampling = sampling.assign(low=sampling["HR@10"] - 0.01, high=sampling["HR@10"] + 0.01)
    layouts = ("published", "reference layout", "contrec/one-sample", "contrec/point")
    costs = pd.DataFrame(
        [
            (layout, part, 10.0 ** -(i + j))
            for i, layout in enumerate(layouts)
            for j, part in enumerate(("llm", "ranking"))
        ],
        columns=["layout", "part", "seconds"],
    )
    growth = pd.DataFrame(
        {"layout": "contrec", "items": [10**3, 10**5, 10**7], "seconds": [0.01, 0.2, 9], "MiB": [20, 50, 150]}
    )
    groups = pd.DataFrame(
        [
            (model, group, metric, 0.1 + 0.01 * place, 0.05, 0.2, n)
            for model in ("popularity", "contrec/direct-head", "contrec")
            for metric in ("HR@10", "NDCG@10")
            for place, (group, n) in enumerate((("unseen", 20), ("same users, in training", 20), ("other users", 380)))
        ],
        columns=["model", "group", "metric", "value", "low", "high", "n_users"],
    )
    changed = pd.DataFrame(
        [
            (group, label, metric, kind, change, change - 0.5 if bar else np.nan, change + 0.5 if bar else np.nan)
            for group, label, change in (
                ("parts", "w/o Mask", -0.4),
                ("parts", "w/o BPR", 0.3),
                ("K", "K=1", -1.2),
            )
            for metric in ("HR@10", "NDCG@10")
            for kind, bar in (("this run", True), ("published", False))
        ],
        columns=["group", "label", "metric", "kind", "difference", "low", "high"],
    )
    swept = pd.DataFrame(
        [
            (name, name, kind, x, part, 0.1, 0.1 * x, 0.1 * x - 1, 0.1 * x + 1, 1, x == 0, x == 2, 0.0, 1.0)
            for name, kind in (("rho", "all"), ("tau", "head only"), ("omega", "one checkpoint"))
            for x in (0, 1, 2)
            for part in ("test", "validation")
        ],
        columns=[
            *("parameter", "title", "kind", "x", "part", "value", "difference", "diff_low", "diff_high", "n_seeds"),
            *("default", "best", "paper_low", "paper_high"),
        ],
    )
    two = pd.concat([growth, growth.assign(layout="reference layout")]).assign(items=[1, 4, 10] * 2)
    moved = pd.DataFrame({0: [1, 2], 2: [2, 1], 10: [17, np.nan]}, index=["A $5 item", "another"])
    return {
        "sweep": lambda: plots.sweep(swept, subtitle="Planted"),
        "history": lambda: plots.cost_curves(two, "items", xlabel="history items", subtitle="Planted"),
        "tokens": lambda: plots.tokens(rng.normal(size=(3, 2, 5)), ["a vase", "b", "c"], subtitle="Planted"),
        "grid": lambda: plots.heat_map(moved, label="rank of each item", xlabel="omega", darkest="low"),
        "loss": lambda: plots.loss_curves(history(rng), subtitle="Planted, tiny, 3 seeds"),
        "ranking": lambda: plots.ranking_intervals(results(), subtitle="LastFM, tiny, 1 seed"),
        "variance": lambda: plots.channel_variance(variances, subtitle="Planted"),
        "path": lambda: plots.denoising_path(*path(rng), subtitle="Planted"),
        "lengths": lambda: plots.history_lengths(lengths, subtitle="Released"),
        "reconstruction": lambda: plots.reconstruction(*rate_distortion(), subtitle="Planted"),
        "parts": lambda: plots.cost_by_part(costs, subtitle="Planted"),
        "growth": lambda: plots.cost_curves(growth, "items", xlabel="items", subtitle="Planted"),
        "sampling": lambda: plots.trade_off(sampling, subtitle="Planted"),
        "unseen": lambda: plots.unseen_users(groups, subtitle="Planted"),
        "differences": lambda: plots.differences(changed, subtitle="Planted"),
    }


NAMES = ["loss", "ranking", "variance", "path", "lengths", "reconstruction", "parts", "growth", "sampling", "unseen"]
NAMES += ["differences", "sweep", "history", "tokens", "grid"]


@pytest.mark.parametrize("name", NAMES)
def test_equal_inputs_give_equal_bytes(name, tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        with matplotlib.rc_context(
            {"font.size": 20 if folder == "b" else 5, "svg.hashsalt": None}
        ):  # a user's own settings
            figure, frame = figures(np.random.default_rng(0))[name]()
            paths = plots.save(figure, tmp_path / folder / "fig", "Alt text", "4f1c9a")
        assert isinstance(frame, pd.DataFrame) and len(frame)
    for path_ in paths:
        assert path_.read_bytes() == (tmp_path / "a" / path_.name).read_bytes()


@pytest.mark.parametrize("name", NAMES)
def test_text_is_legible_and_inside(name, rng):
    figure, _ = figures(rng)[name]()
    figure.draw_without_rendering()
    assert figure.get_size_inches()[0] == theme.COLUMN
    frame = figure.bbox
    texts = [t for t in figure.findobj(matplotlib.text.Text) if t.get_text().strip() and t.get_visible()]
    assert len(texts) > 5
    for text in texts:
        assert text.get_fontsize() >= 6, text.get_text()
    # axis labels, legend, subtitle: all inside the page (labels of ticks out of view are not drawn)
    words = [t for t in texts if re.search("[a-z]", t.get_text()) and "math" not in t.get_text()]
    for text in words:
        box = text.get_window_extent()
        assert (
            box.x0 >= frame.x0 - 1 and box.x1 <= frame.x1 + 1 and box.y0 >= frame.y0 - 1 and box.y1 <= frame.y1 + 1
        ), text


def looks(handle) -> tuple:
    """What is left of a legend's entry in black and white: marker, line, fill."""
    if isinstance(handle, matplotlib.collections.PathCollection):  # dots
        return "dots", *handle.get_sizes()
    line = handle[0] if isinstance(handle, matplotlib.container.Container) else handle
    filled = line.get_markerfacecolor() not in ("white", "none")
    return line.get_marker(), str(line._dash_pattern), line.get_fillstyle(), filled, line.get_markersize()


def of_equal_markers(rng) -> dict:
    """Series whose methods share a marker and differ in colour elsewhere."""
    names = ["popularity", "mf", "gru4rec", "p5", "contrec"]
    loss = pd.DataFrame([(m, e, p, 1.0 + e) for m in names[:2] for e in range(4) for p in ("train", "validation")])
    rates = rate_distortion()[1]
    tokenizers = [name for name in theme.METHODS if name.split("/")[0] in ("vq", "rq", "mq", "vae", "sigma_vae",
                  "autoencoder", "diffusion", "masked_encoder")]  # fmt: skip
    rates = pd.concat([rates[rates["decoder"] == "vq"].assign(decoder=name) for name in tokenizers])
    growth = pd.DataFrame({"layout": names, "items": [10**3] * 5, "seconds": 1.0, "MiB": 2.0})
    lengths = pd.DataFrame({"dataset": list(theme.DATASETS), "length": range(1, 1 + len(theme.DATASETS))})
    return {
        "loss, two parts": lambda: plots.loss_curves(loss.set_axis(["model", "epoch", "part", "loss"], axis=1)),
        "tokenizers": lambda: plots.reconstruction(rate_distortion()[0], rates),
        "layouts": lambda: plots.cost_curves(growth, "items", xlabel="items"),
        "datasets": lambda: plots.history_lengths(lengths),
    }


@pytest.mark.parametrize("name", [*NAMES, "loss, two parts", "tokenizers", "layouts", "datasets"])
def test_series_tell_apart_without_colour(name, rng):
    figure, _ = (figures(rng) | of_equal_markers(rng))[name]()
    series = {}
    for ax in figure.axes:
        handles, labels = ax.get_legend_handles_labels()
        series |= {label: looks(handle) for handle, label in zip(handles, labels, strict=True)}
    assert len(set(series.values())) == len(series), series


WHOLE = re.compile("epoch|^step|items|channel, by|history length|^rate")


@pytest.mark.parametrize("name", [*NAMES, "loss, two parts", "datasets"])
def test_what_is_counted_has_whole_ticks(name, rng):
    figure, _ = (figures(rng) | of_equal_markers(rng))[name]()
    figure.draw_without_rendering()
    for ax in figure.axes:
        if WHOLE.search(ax.get_xlabel()):
            low, high = ax.get_xlim()
            ticks = [tick for tick in ax.get_xticks() if low <= tick <= high]
            assert ticks and all(tick == round(tick) for tick in ticks), (ax.get_xlabel(), ticks)


@pytest.mark.parametrize("name", NAMES)
def test_panels_have_one_letter_each(name, rng):
    figure, _ = figures(rng)[name]()
    letters = [found[1] for ax in figure.axes if (found := re.match(r"\((\w)\)", ax.get_title()))]
    assert letters == list("abcdefghi"[: len(letters)]), letters


def test_printed_and_measured_seconds_have_labels_of_their_own(rng):
    figure, _ = figures(rng)["parts"]()
    said = [text.get_text() for text in figure.legends[0].get_texts()]
    assert said[0] == "published (another machine)" and all(label.startswith("this run: ") for label in said[1:])


def test_a_heat_map_writes_each_number_once_and_shades_what_stands_out(rng):
    table = pd.DataFrame({"x": [1, 30], "y": [2, np.nan]}, index=["first", "second"])
    for darkest, order in (("low", [1, 2, 30]), ("high", [30, 2, 1])):
        figure, frame = plots.heat_map(table, label="rank", darkest=darkest, marked=["second"])
        ax = figure.axes[0]
        assert sorted(t.get_text() for t in ax.texts if t.get_text()) == ["1", "2", "30"] and len(frame) == 3
        shades = dict(zip([1, 2, 30, None], ax.collections[0].get_array().ravel()[[0, 1, 2, 3]], strict=True))
        assert sorted(order, key=shades.get, reverse=True) == order
        assert [t.get_fontweight() for t in ax.get_yticklabels()] == ["normal", "bold"]
    with pytest.raises(ValueError, match="darkest must be 'high' or 'low', got 'red'"):
        plots.heat_map(table, label="rank", darkest="red")
    with pytest.raises(ValueError, match="there are none"):
        plots.heat_map(table * np.nan, label="rank")


def test_every_method_has_its_own_look():
    looks = [look[1:] for look in theme.METHODS.values()]
    assert len(set(looks)) == len(looks)
    assert len({look[1:] for look in theme.DATASETS.values()}) == len(theme.DATASETS)
    names = [*theme.METHODS, *(f"contrec/trial-{i}" for i in range(20))]
    assert len({look[1:] for look in theme.style(names).values()}) == len(names)


def test_a_method_looks_the_same_in_every_figure():
    assert theme.style(["contrec", "contrec/x"])["contrec/x"] == theme.style(["contrec/x", "ease"])["contrec/x"]
    assert theme.style(["ease", "contrec"])["contrec"] == theme.METHODS["contrec"]


def test_colours_stay_apart_in_grey_and_on_white():
    """Relative luminance (WCAG): each colour has a contrast of at least 2 with white."""
    for _, colour, _ in (*theme.METHODS.values(), *theme.DATASETS.values()):
        channels = np.array(matplotlib.colors.to_rgb(colour))
        linear = np.where(channels <= 0.03928, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
        assert 1.05 / (linear @ [0.2126, 0.7152, 0.0722] + 0.05) >= 2, colour


def test_order_is_floors_methods_controls():
    names = [
        "contrec/direct-head",
        "contrec/zzz",
        "contrec",
        "sasrec",
        "itemknn/recency",
        "ease",
        "popularity",
        "unheard-of",
    ]
    assert theme.rank_order(names) == [
        *("popularity", "itemknn/recency", "ease", "sasrec", "contrec", "unheard-of"),
        *("contrec/direct-head", "contrec/zzz"),
    ]


def test_ranking_marks_published_values_hollow_and_draws_no_bar_without_an_interval():
    figure, frame = plots.ranking_intervals(results())
    ax = figure.axes[0]
    assert [t.get_text() for t in ax.get_yticklabels()] == ["Popularity", "TIGER", "ContRec", "ContRec: direct head"]
    dots = [line for line in ax.lines if line.get_marker() != "None" and len(line.get_xdata()) == 1]
    faces = {float(line.get_xdata()[0]): line.get_markerfacecolor() for line in dots}
    assert faces[0.0539] == faces[0.0467] == "white"
    assert faces[0.10] == theme.METHODS["contrec"][1]
    bars = [
        line for line in ax.lines if len(line.get_xdata()) == 2 and line.get_marker() == "None" and line.get_lw() == 1
    ]
    assert len(bars) == 4  # of five dots, TIGER prints no interval
    assert set(frame["metric"]) == {"HR@10", "NDCG@10"}
    said = [t.get_text() for t in figure.legends[0].get_texts()]
    assert said == [
        "reproduced (bars: 95 % over users and, where several, trainings)",
        "this run (bars: 95 % over users and, where several, trainings)",
        "published (bars: mean ± s.d., 5 inferences)",
    ]


def test_one_seed_has_no_band(rng):
    figure, frame = plots.loss_curves(history(rng, seeds=1))
    assert not figure.axes[0].collections and figure.axes[0].get_legend().get_title().get_text() == ""
    figure, frame = plots.loss_curves(history(rng, seeds=3))
    assert len(figure.axes[0].collections) == 2
    assert figure.axes[0].get_legend().get_title().get_text() == "mean ± s.d., 3 seeds"
    data = history(np.random.default_rng(1))
    _, frame = plots.loss_curves(data)
    first = data.query("model == 'vq' and epoch == 0")["loss"]
    row = frame.query("model == 'vq' and epoch == 0").iloc[0]
    assert row["mean"] == pytest.approx(first.mean()) and row["sd"] == pytest.approx(first.std())


def test_denoising_path_finds_the_planted_target(rng):
    way, items, target, seen, labels = path(rng)
    _, frame = plots.denoising_path(way, items, target, seen, labels)
    top = frame[frame["role"] == "top"]
    assert len(top) == 10 and top["item"].iloc[0] == target  # the path ends on the target
    second = top["item"].iloc[1]
    _, without = plots.denoising_path(way, items, target, [*seen, second], labels)
    assert second not in set(without.loc[without["role"] == "top", "item"])  # what was seen is not recommended
    assert len(frame[frame["role"] == "history"]) == 3 and len(frame[frame["role"] == "path"]) == 12
    # the axes are the principal ones: no plane keeps more of the items' variance
    centred = items - items.mean(0)
    values = np.linalg.svd(centred, compute_uv=False)
    figure, _ = plots.denoising_path(way, items, target, seen, labels)
    points = figure.axes[0].collections[0].get_offsets()
    assert (points**2).sum() == pytest.approx((values[:2] ** 2).sum())


def test_denoising_path_rings_what_another_estimate_ranks(rng):
    way, items, target, seen, labels = path(rng)
    other = next(i for i in range(len(items)) if i not in (target, *seen))
    _, frame = plots.denoising_path(way, items, target, seen, labels, preference=7 * items[other])
    assert frame.loc[frame["role"] == "top", "item"].iloc[0] == other
    marked = frame[frame["role"] == "preference"]
    # drawn at the items' mean length, whatever its own
    again = plots.denoising_path(way, items, target, seen, labels, preference=items[other])[1]
    np.testing.assert_allclose(marked[["x", "y"]], again.loc[again["role"] == "preference", ["x", "y"]])
    assert len(marked) == 1 and "preference" not in set(plots.denoising_path(*path(rng))[1]["role"])


def test_denoising_path_does_not_depend_on_the_order_of_items(rng):
    """The sign of a principal axis is arbitrary; a fixed one keeps figures comparable."""
    way, items, target, seen, labels = path(rng)
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(len(items))
        place = np.argsort(order)
        _, one = plots.denoising_path(way, items, target, seen, labels)
        moved = plots.denoising_path(way, items[order], place[target], place[seen], [labels[i] for i in order])[1]
        np.testing.assert_allclose(moved[["x", "y"]], one[["x", "y"]], atol=1e-9)
        assert moved["title"].tolist() == one["title"].tolist()


def test_denoising_path_refuses_what_does_not_fit(rng):
    way, items, target, seen, labels = path(rng)
    with pytest.raises(ValueError, match=r"must fit, got \(12, 8\), \(60, 8\), 59"):
        plots.denoising_path(way, items, target, seen, labels[:-1])


def test_history_lengths_are_shares_at_least_as_long():
    _, frame = plots.history_lengths(pd.DataFrame({"dataset": "lastfm", "length": [1, 2, 2, 4]}))
    assert dict(zip(frame["length"], frame["share"], strict=True)) == {1: 1.0, 2: 0.75, 4: 0.25}  # origin: by hand
    with pytest.raises(ValueError, match="dataset must be among planted.*nosuch"):
        plots.history_lengths(pd.DataFrame({"dataset": ["nosuch"], "length": [1]}))


def test_channel_variance_ranks_and_refuses_negative_values():
    frame = pd.DataFrame({"model": "vae", "encoder": 1, "channel": [0, 1, 2], "variance": [0.0, 3.0, 1.0]})
    figure, ranked = plots.channel_variance(frame)
    assert ranked["channel"].tolist() == [1, 2, 0] and ranked["rank"].tolist() == [1, 2, 3]
    assert (
        "below 1e-06 drawn at 1e-06" in figure.axes[0].get_xlabel() and figure.axes[0].lines[0].get_ydata()[-1] == 1e-6
    )
    with pytest.raises(ValueError, match="must not be negative, got -1"):
        plots.channel_variance(frame.assign(variance=-1.0))


def test_cost_by_part_adds_totals_where_none_is_given():
    rows = [
        ("published", "total", 1.6),
        ("published", "llm", 1.5),
        ("contrec", "llm", 0.2),
        ("contrec", "ranking", 0.1),
    ]
    figure, data = plots.cost_by_part(pd.DataFrame(rows, columns=["layout", "part", "seconds"]))
    totals = data[data["part"] == "total"].set_index("layout")["seconds"]
    assert totals["published"] == 1.6 and totals["contrec"] == pytest.approx(0.3) and len(totals) == 2
    assert [t.get_text() for t in figure.axes[0].get_yticklabels()] == ["LLM", "ranking", "total"]


def test_reconstruction_averages_seeds_and_leaves_infinite_rates_out():
    loss, rates = rate_distortion()
    rates.loc[len(rates)] = ["sigma_vae", 1, np.inf, 0.1, 0.9, 0.5, 0.1, np.nan, np.nan]
    figure, data = plots.reconstruction(loss, rates, references={"HR@10": 0.2})
    assert len(data) == 6 and data["mse"].iloc[0] == pytest.approx((1 / 2 + 1 / 3) / 2)
    assert [ax.get_title()[:3] for ax in figure.axes] == ["(a)", "(b)", "(c)", "(d)", "(e)", "(f)"]


def test_trade_off_numbers_the_points_of_a_line_only():
    rows = [("steps", 1, 0.1, 0.2), ("steps", 20, 0.4, 0.25), ("point estimate", 1, 0.01, 0.3)]
    frame = pd.DataFrame(rows, columns=["kind", "n", "seconds", "HR@10"]).assign(low=0.1, high=0.4)
    figure, _ = plots.trade_off(frame)
    assert [t.get_text() for t in figure.axes[0].texts] == ["1", "20"]


def test_unseen_users_says_how_many_there_are_and_orders_models(rng):
    figure, frame = figures(rng)["unseen"]()
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == ["unseen (n = 20)", "same users, in training (n = 20)", "other users (n = 380)"]
    labels = [tick.get_text() for tick in figure.axes[0].get_yticklabels()]
    assert labels == ["Popularity", "ContRec", "ContRec: direct head"] and len(frame) == 18
    dots = {tuple(line.get_xdata()) for line in figure.axes[0].get_lines()}
    assert (0.1,) * 3 in {tuple(np.round(d, 3)) for d in dots}


def test_differences_stand_in_groups_and_published_ones_are_hollow(rng):
    figure, frame = figures(rng)["differences"]()
    labels = [tick.get_text() for tick in figure.axes[0].get_yticklabels()]
    assert labels == ["parts", "w/o Mask", "w/o BPR", "K", "K=1"]
    dots = [line for line in figure.axes[0].lines if len(line.get_ydata()) == 1 and line.get_marker() == "D"]
    assert len(dots) == 3 and all(dot.get_markerfacecolor() == "white" for dot in dots)
    assert len(figure.axes[0].collections) == 3 and len(frame) == 12  # a bar for each of this run's


def test_the_plane_shows_every_point_and_where_it_leads(rng):
    points, centres = rng.normal(size=(30, 2)), np.eye(2)
    figure, frame = plots.clouds({"a": points, "b": points[:5]}, centres)
    assert frame.groupby("panel").size().to_dict() == {"a": 30, "b": 5}
    assert [len(ax.collections[0].get_offsets()) for ax in figure.axes] == [30, 5]
    figure, frame = plots.arrows({"t = 9": (points, 0 * points)}, centres)
    quiver = figure.axes[0].collections[0]
    np.testing.assert_allclose(np.c_[quiver.U, quiver.V], -points)
    assert not frame[["to_x", "to_y"]].to_numpy().any()
    way = np.stack([points, points / 2, 0 * points])
    figure, frame = plots.walks({"ddim": way})
    assert len(figure.axes[0].lines) == 30 + 2 and len(frame) == 3 * 30
    assert figure.axes[0].lines[-2].get_markerfacecolor() == "white"  # where the ways begin
    with pytest.raises(ValueError, match=r"shape \(n, 2\), got \(3, 4\)"):
        plots.clouds({"a": np.zeros((3, 4))})


def test_missing_columns_are_named():
    with pytest.raises(ValueError, match=r"columns model, epoch, loss; missing: \['loss'\]"):
        plots.loss_curves(pd.DataFrame({"model": ["vae"], "epoch": [1]}))


def test_save_writes_alt_text_and_fingerprint_and_no_date(tmp_path):
    from PIL import Image

    figure, _ = plots.history_lengths(pd.DataFrame({"dataset": "lastfm", "length": [1, 2]}))
    svg, png = plots.save(figure, tmp_path / "fig1.lengths", "Two histories, of 1 and 2 items", "4f1c9a")
    assert (svg.name, png.name) == ("fig1.lengths.svg", "fig1.lengths.png")
    text = svg.read_text(encoding="utf-8")
    assert "<title>Two histories, of 1 and 2 items</title>" in text and "4f1c9a" in text
    assert "dc:date" not in text and matplotlib.__version__ not in text
    with Image.open(png) as image:
        assert image.info["Description"] == "Two histories, of 1 and 2 items" and image.info["Fingerprint"] == "4f1c9a"
        assert "Software" not in image.info and abs(image.width - 300 * theme.COLUMN) <= 1
    with pytest.raises(ValueError, match="alt_text must not be empty"):
        plots.save(figure, tmp_path / "x", " ", "4f1c9a")
    with pytest.raises(ValueError, match="fingerprint must not be empty"):
        plots.save(figure, tmp_path / "x", "alt", "")


def test_titles_are_plain_text():
    assert theme.plain("a $x^2$\n b\\c", 40) == r"a \$x^2\$ bc"
    assert theme.plain("x" * 50, 10) == "x" * 9 + "…"


def test_figures_do_not_pile_up():
    import matplotlib.pyplot as plt

    before = plt.get_fignums()
    plots.history_lengths(pd.DataFrame({"dataset": "lastfm", "length": [1, 2]}))
    assert plt.get_fignums() == before
