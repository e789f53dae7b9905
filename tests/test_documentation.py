"""The documentation matches the program: generated parts are in step, links lead somewhere."""

import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from midas.cli import main

ROOT = Path(__file__).parents[1]
PAGES = sorted({*ROOT.glob("*.md"), *ROOT.glob("*/*.md"), *ROOT.glob("midas/*/*.md")} - {ROOT / ".pytest_cache"})


def test_the_command_reference_is_what_the_commands_say():
    script = [sys.executable, str(ROOT / "scripts" / "command_reference.py"), "--check"]
    done = subprocess.run(script, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_command_reference_has_every_command():
    titles = re.findall(r"^### midas (.*)$", (ROOT / "midas" / "cli" / "README.md").read_text(encoding="utf-8"), re.M)
    assert titles == main.list_commands(click.Context(main))


def test_the_readme_is_short_and_has_a_picture():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 200
    assert re.search(r"!\[[^\]]+\]\([^)]+\.png\)|<img src=\"[^\"]+\.png\"", text)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page):
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        name, _, anchor = target.partition("#")
        if "://" in name or name.startswith("mailto:"):
            continue
        path = (page.parent / name).resolve() if name else page
        assert path.exists(), f"{page.name} links to {target}"
        if anchor and path.suffix == ".md":
            titles = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in map(slug, titles), f"{page.name} links to {target}"


def slug(title: str) -> str:
    """Name a title as hosting sites do."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
