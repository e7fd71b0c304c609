"""The widgets of the interactive case browser: a thin layer over :mod:`contrec.experiments.cases.state`."""

from __future__ import annotations

import html
from dataclasses import fields

from contrec.data.interactions import Split
from contrec.diffusion.samplers import SAMPLERS
from contrec.experiments.cases.state import BrowserState, Settings
from contrec.network import ESTIMATES
from contrec.recommender import Recommender

OFFERED = 2000  # users in the list of suggestions; the id of any other can be typed


class Browser:
    """The widgets of a :class:`BrowserState`: end a notebook's cell with it.

    Where no widgets run (a static page), the state's table is shown instead.

    Attributes:
        state: the state behind the widgets.
        user, history, remove, reset, search, found, add: the user and the history.
        text_bonus, estimate, guidance_strength, n_samples, sampler, steps: the settings.
        message: what was refused and why, "" where nothing was.
        output: the ranking as HTML.

    Args:
        As :class:`BrowserState`.
    """

    SETTINGS = tuple(field.name for field in fields(Settings))

    def __init__(self, recommender: Recommender, split: Split, user: str | None = None, k: int = 10):
        self.state = BrowserState(recommender, split, user, k)
        self._make()
        self._busy = False
        self._show()
        for name in self.SETTINGS:
            getattr(self, name).observe(self._set, "value")
        self.user.observe(lambda change: self._do(self.state.pick, change.new), "value")
        self.remove.on_click(lambda _: self._do(self.state.remove, self.history.value))
        self.reset.on_click(lambda _: self._do(self.state.reset))
        self.search.observe(self._search, "value")
        self.add.on_click(lambda _: self._do(self.state.add, self.found.value))

    def _make(self) -> None:
        import ipywidgets as w

        state, settings = self.state, self.state.settings
        wide, label = w.Layout(width="auto"), {"description_width": "5.5em"}
        users = [str(u) for u in state.recommender.user_ids[:OFFERED]]
        self.user = w.Combobox(
            value=state.user, options=users, ensure_option=False, continuous_update=False, description="user",
            layout=wide, style=label,
        )  # fmt: skip
        self.history = w.SelectMultiple(rows=9, layout=wide)
        self.remove = w.Button(description="remove selected", icon="minus", layout=w.Layout(width="auto"))
        self.reset = w.Button(description="reset all", icon="undo", layout=w.Layout(width="auto"))
        self.search = w.Text(placeholder="words of a title", description="search", layout=wide, style=label)
        self.found = w.Select(rows=5, layout=wide)
        self.add = w.Button(description="add as newest", icon="plus", disabled=True, layout=w.Layout(width="auto"))
        slider = {"layout": wide, "style": label}
        self.text_bonus = w.FloatSlider(
            value=settings.text_bonus,
            min=0,
            max=max(0.5, settings.text_bonus),
            step=0.01,
            description="π, text",
            **slider,
        )
        self.estimate = w.Dropdown(value=settings.estimate, options=ESTIMATES, description="estimate", **slider)
        self.guidance_strength = w.FloatSlider(
            value=settings.guidance_strength, min=0, max=max(10.0, settings.guidance_strength), step=0.1,
            description="ω, guide", readout_format=".1f", **slider,
        )  # fmt: skip
        self.n_samples = w.IntSlider(
            value=settings.n_samples, min=1, max=max(64, settings.n_samples), description="samples",
            continuous_update=False, **slider,
        )  # fmt: skip
        self.sampler = w.Dropdown(value=settings.sampler, options=SAMPLERS, description="sampler", **slider)
        longest = max(min(100, state.longest), settings.steps)
        self.steps = w.IntSlider(
            value=settings.steps, min=1, max=longest, description="steps", continuous_update=False, **slider
        )
        self.message, self.output = w.HTML(), w.HTML()
        left = w.VBox(
            [self.user, w.Label("history, newest last"), self.history, w.HBox([self.remove, self.reset]), self.search,
             self.found, self.add],
            layout=w.Layout(flex="1 1 280px"),
        )  # fmt: skip
        settings_box = w.GridBox(
            [self.text_bonus, self.estimate, self.guidance_strength, self.sampler, self.n_samples, self.steps],
            layout=w.Layout(grid_template_columns="repeat(auto-fit, minmax(260px, 1fr))"),
        )
        right = w.VBox([settings_box, self.message, self.output], layout=w.Layout(flex="2 1 460px"))
        self.box = w.HBox([left, right], layout=w.Layout(flex_flow="row wrap"))

    # -- from widgets to the state -----------------------------------------------------------------------------------

    def _do(self, change, *arguments, **settings) -> None:
        """Change the state and show it; what the state refuses is told, and the widgets go back to what it holds."""
        if self._busy:  # the widgets follow the state at this moment
            return
        try:
            change(*arguments, **settings)
            refused = ""
        except ValueError as error:
            refused = f'<span style="color:#D55E00">{html.escape(str(error))}</span>'
        self._show()
        self.message.value = refused

    def _set(self, change) -> None:
        name = next(name for name in self.SETTINGS if getattr(self, name) is change.owner)
        self._do(self.state.change, **{name: change.new})

    def _search(self, change) -> None:
        found = self.state.search(change.new)
        self.found.options = [(_line(title), item) for title, item in found]
        self.found.index = 0 if found else None
        self.add.disabled = not found

    # -- from the state to widgets -----------------------------------------------------------------------------------

    def _show(self) -> None:
        self._busy = True
        try:
            state, titles = self.state, self.state.recommender.catalogue.titles
            self.user.value = state.user
            self.history.options = [(f"{n + 1}. {_line(titles[i])}", n) for n, i in enumerate(state.history)]
            for name in self.SETTINGS:
                getattr(self, name).value = getattr(state.settings, name)
            sampled = state.settings.estimate != "point"
            for name in ("guidance_strength", "sampler", "steps"):
                getattr(self, name).disabled = not sampled
            self.guidance_strength.disabled |= not state.p_uncond
            self.n_samples.disabled = state.settings.estimate != "mean"
            self.output.value = state.html()
        finally:
            self._busy = False

    def _repr_mimebundle_(self, **kwargs) -> dict:
        """The widgets, and for pages without them the state's table."""
        return self.box._repr_mimebundle_(**kwargs) | {
            "text/html": self.state.html(),
            "text/plain": f"{self.state.text()}\n{self.state.table().to_string(index=False)}",
        }


def _line(title: str, limit: int = 70) -> str:
    """A title on one line."""
    line = " ".join(title.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"
