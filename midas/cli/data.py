"""Commands about data: download, make-part3, preprocess, augment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from midas.cli.console import Progress, command, emit, warn, warn_of_sample, warn_of_skipped
from midas.cli.options import (
    apply,
    augmentation_options,
    cache_dir_option,
    common,
    data_dir_option,
    form_options,
    json_option,
    seed_option,
    size_option,
    strict_option,
)
from midas.cli.settings import open_data
from midas.errors import MidasError, counted
from midas.experiments import Augmentation
from midas.files import plain, refuse_nonempty


@command(epilog="Example: midas download mnist --data-dir data")
@click.argument("names", nargs=-1, metavar="[mnist|part1|part3]...")
@apply(data_dir_option, json_option, common)
def download(names: tuple[str, ...], data_dir: str, as_json: bool) -> None:
    """Download the data sets.

    All three, or those named, into the data folder. Resumes interrupted downloads.
    """
    from midas.data.download import REMOTES, fetch_all

    if unknown := set(names) - set(REMOTES):
        raise click.BadParameter(f"no data set {', '.join(sorted(unknown))}; there are {', '.join(REMOTES)}")
    _refuse_sample(data_dir)
    states, failures = fetch_all(names or tuple(REMOTES), data_dir, Progress().bytes)
    if states or not failures:
        emit({"files": states}, as_json, "\n".join(f"{path}: {state}" for path, state in states.items()))
    if failures:
        raise MidasError("; ".join(failures))


@command("make-part3", epilog="Example: midas make-part3 --data-dir data --seed 0")
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), help="[default: mnistTask3.zip in the data folder]"
)
@click.option("--overwrite", is_flag=True, help="Replace an existing archive.")
@apply(seed_option, data_dir_option, json_option, common)
def make_part3(out: Path | None, overwrite: bool, seed: int, data_dir: str, as_json: bool) -> None:
    """Make Part 3's data from MNIST.

    All images get a complementary label, except six per class, whose label is correct.
    """
    from midas.data.export import make_part3 as make

    _refuse_sample(data_dir)
    out = out or Path(data_dir) / "mnistTask3.zip"
    if out.exists() and not overwrite:
        raise MidasError(f"{out}: already exists; choose another --out, or use --overwrite")
    images = make(data_dir, out, seed)
    emit({"path": str(out), "images": images, "seed": seed}, as_json, f"{out}: {images:,} images with wrong labels")


def _refuse_sample(data_dir: str) -> None:
    if data_dir == "sample":
        raise click.UsageError("the embedded sample is made when it is needed; give a folder as --data-dir")


@command(epilog="Example: midas preprocess --preview samples.png")
@click.option(
    "--data", "names", multiple=True, help="A data set; may be repeated.  [default: those of the data folder]"
)
@click.option("--csv", "csv_file", type=click.Path(dir_okay=False, path_type=Path), help="Write labels and pixels.")
@click.option("--preview", type=click.Path(dir_okay=False, path_type=Path), help="Draw samples of each class (PNG).")
@apply(form_options, size_option, strict_option, data_dir_option, cache_dir_option, json_option, common)
def preprocess(
    names: tuple[str, ...],
    csv_file: Path | None,
    preview: Path | None,
    size: int,
    strict: bool,
    data_dir: str,
    cache_dir: Path,
    as_json: bool,
    **form: Any,
) -> None:
    """Preprocess data sets into cached glyphs.

    Prints a summary of each. Without --data this takes Part 1, MNIST and Part 3, as far as they are in the data
    folder. --csv and --preview take the first data set.
    """
    from midas.data import datasets, export
    from midas.report import previews, tables

    if not names:
        warn_of_sample(data_dir)
    named = {name: open_data(name, "train", **form) for name in names}
    sources = named or datasets.open_all(data_dir)
    progress, summaries = Progress(), {}
    for name, source in sources.items():
        dataset = datasets.cached(source, size, cache_dir, strict, progress.images)
        summaries[name] = dataset.summary()
        if name == next(iter(sources)):
            if csv_file:
                export.write_csv(dataset, csv_file)
            if preview:
                previews.write_preview(dataset, source, preview)
    paths = {name: source.path for name, source in sources.items()}
    found = {name: {**plain(summary), "source": paths[name]} for name, summary in summaries.items()}
    emit(found, as_json, tables.data_table(summaries, paths))


@command(epilog="Example: midas augment --data data/trainPart1.zip --preview copies.png")
@click.option("--data", required=True, help="A data set, of which the training part is taken if there is one.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Folder to write to, empty or new.")
@click.option("--repetitions", type=click.IntRange(1), default=10, show_default=True, help="Copies of each image.")
@click.option("--originals/--no-originals", default=True, show_default=True, help="Write the images themselves, too.")
@click.option("--preview", type=click.Path(dir_okay=False, path_type=Path), help="Draw some of the copies (PNG).")
@apply(form_options, *augmentation_options, size_option, seed_option, cache_dir_option, json_option, common)
def augment(
    data: str,
    class_names: Path | None,
    transpose: bool | None,
    out: Path | None,
    repetitions: int,
    originals: bool,
    preview: Path | None,
    size: int,
    seed: int,
    cache_dir: Path,
    as_json: bool,
    **strengths: float,
) -> None:
    """Write augmented copies of a data set as PNG files.

    The copies are of normalized glyphs, in class folders that every command reads. For inspection and for other
    programs: the training commands augment by themselves, anew in each epoch. Give --out, --preview or both. A
    strength of 0 switches a deformation off.
    """
    if not (out or preview):
        raise click.UsageError("nothing to do: give --out, --preview or both")
    from midas.data import datasets, export
    from midas.data.labels import name_classes
    from midas.report import previews

    augmentation, progress = Augmentation(**strengths), Progress()
    if out:
        refuse_nonempty(out)
    dataset = datasets.cached(
        open_data(data, "train", class_names, transpose), size, cache_dir, progress=progress.images
    )
    warn_of_skipped(dataset.skipped, data)
    about = {"data": data, "size": size, "seed": seed, "augmentation": augmentation}
    found, lines = {**about, "classes": len(dataset.class_names)}, []
    if out:
        folders = export.write_copies(dataset, out, repetitions, originals, augmentation, seed, progress.files)
        if name_classes(list(folders.values()))[0] != dataset.class_names:
            warn("Note: not every class can give its name to a folder; --json lists the folders")
        count = {"originals": len(dataset) * originals, "copies": len(dataset) * repetitions}
        found |= {"path": str(out), **count, "folders": folders}
        counts = (count["originals"], "original"), (count["copies"], "copy"), (len(folders), "class")
        lines.append(f"{out}: {', '.join(counted(*each) for each in counts)}")
    if preview:
        previews.write_copies_preview(dataset, preview, repetitions, augmentation, seed)
        found["preview"] = str(preview)
        lines.append(str(preview))
    emit(found, as_json, "\n".join(lines))


COMMANDS = (download, make_part3, preprocess, augment)
