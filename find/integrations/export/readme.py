"""The README of an exported folder: what each graph takes and gives, and twenty lines that use it."""

from __future__ import annotations

from jinja2 import Environment, PackageLoader

from find.integrations.export.manifest import Manifest


def readme(manifest: Manifest) -> str:
    """In Markdown."""
    loader = PackageLoader("find.integrations.export")
    template = Environment(
        loader=loader, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True, autoescape=False
    )
    return template.get_template("README.md.j2").render(
        m=manifest, graphs={graph.name: graph for graph in manifest.graphs}
    )
