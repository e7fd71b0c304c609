"""An executed notebook as a page that needs no network: formulas are MathML, no script and no style lies elsewhere."""

from __future__ import annotations

import html

from jinja2 import pass_context
from latex2mathml.converter import convert
from nbconvert import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

# The template of nbconvert without what it would fetch: require.js, MathJax, Mermaid, and the player of widgets
WITHOUT = ("html_head_js", "jupyter_widgets", "html_head_js_mathjax", "html_head_js_mermaidjs")
TEMPLATE = "{%- extends 'lab/index.html.j2' -%}" + "".join(f"{{% block {b} %}}{{% endblock {b} %}}" for b in WITHOUT)


def mathml(formula: str, display: str) -> str:
    """A formula of LaTeX as MathML, which browsers show themselves; one that cannot be read stays as it was typed.

    Args:
        display: "inline" | "block".
    """
    try:
        return convert(formula, display=display)
    except Exception:  # the library's own errors share no base
        return f"<code>{html.escape(formula)}</code>"


class _Renderer(IPythonRenderer):
    def inline_math(self, body: str) -> str:
        return mathml(body, "inline")

    def block_math(self, body: str) -> str:
        return mathml(body, "block")

    def latex_environment(self, name: str, body: str) -> str:
        return mathml(f"\\begin{{{name}}}{body}\\end{{{name}}}", "block")


class Exporter(HTMLExporter):
    """nbconvert's own page, but for what :data:`WITHOUT` names and for its formulas."""

    def __init__(self, **options):
        super().__init__(raw_template=TEMPLATE, **options)

    @pass_context
    def markdown2html(self, context, source: str) -> str:
        attachments = context.get("cell", {}).get("attachments", {})
        renderer = _Renderer(escape=False, attachments=attachments, anchor_link_text=self.anchor_link_text)
        return MarkdownWithMath(renderer=renderer).render(source)


def page(notebook) -> str:
    """The notebook as HTML. No kernel answers there: a widget that also has a plain form is shown in that form."""
    for output in (output for cell in notebook.cells for output in cell.get("outputs", ())):
        if "text/html" in output.get("data", {}):
            output["data"].pop("application/vnd.jupyter.widget-view+json", None)
    return Exporter().from_notebook_node(notebook)[0]
