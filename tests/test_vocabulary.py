"""Texts that users read keep to the terms of the field."""

import re
from pathlib import Path

import click
import pytest

from midas.cli import main

ROOT = Path(__file__).parents[1]
# Not the field's words, or those of another idiom; see what stands for each in the documentation.
AVOIDED = (
    "left possible",
    "filed right",
    "misfiled",
    "witness",
    "what a start is worth",
    "given loss",
    "half a cosine",
    "multiply-adds",
    "surely",
    "told apart",
    "no accident",
    "images a class",
    "seconds an epoch",
    "of everything random",
    "held-out images",
    "optimiser",
    "normalis",
    "summaris",
    "labelled",
    "colour",
    "grey",
    "centre",
)
TEMPLATES = sorted((ROOT / "midas").rglob("templates/*.html"))


def refuse(text: str, where: str) -> None:
    found = [word for word in AVOIDED if re.search(word, text, re.IGNORECASE)]
    assert not found, f"{where}: {found}"


@pytest.mark.parametrize("command", [None, *sorted(main.commands)])
def test_help_texts(command):
    context = click.Context(main, info_name="midas")
    text = main.get_help(context)
    if command:
        text = main.commands[command].get_help(click.Context(main.commands[command], context, command))
    refuse(" ".join(text.split()), command or "midas")
    assert "[default: at most" not in text and not re.search(r"  At most\.", text)


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_page_templates(path):
    text = path.read_text(encoding="utf-8")
    refuse(re.sub(r"<style>.*?</style>", "", text, flags=re.DOTALL), path.name)


@pytest.mark.parametrize(
    "path",
    sorted({*(ROOT / "midas").rglob("*.py"), *ROOT.glob("*.md"), *ROOT.glob("*/*.md"), *ROOT.glob("midas/*/*.md")}),
    ids=lambda path: path.relative_to(ROOT).as_posix(),
)
def test_code_and_documentation(path):
    text = path.read_text(encoding="utf-8")
    found = re.findall(r"left possible|filed right|misfiled|witness|what a start is worth", text, re.IGNORECASE)
    assert not found
