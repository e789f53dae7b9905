"""The commands: options in, one call, an answer out. Whatever is heavy is imported when a command needs it."""

import csv
import dataclasses
import importlib.util
import sys
from pathlib import Path

import click
from click.core import ParameterSource

from midas.cli.console import Commands, Progress, emit, load_tensorflow, say, warn
from midas.cli.options import (
    apply,
    augmentation_options,
    cache_dir_option,
    common,
    data_dir_option,
    json_option,
    make_experiment,
    place_options,
    protocol_options,
    restart_options,
    runs_dir_option,
    seed_option,
    settings_options,
    size_option,
    training_options,
    tta_option,
    warn_of_sample,
    warn_of_skipped,
    workplace,
)
from midas.errors import MidasError
from midas.experiments import LOSSES, MODEL_NAMES, NETWORKS, PARTS, STARTS, Augmentation, with_model
from midas.runs import Run, shipped_checkpoint


def _checkpoint_option(what: str, default: str):
    return click.option(
        "--checkpoint",
        "checkpoints",
        multiple=True,
        type=click.Path(exists=True, path_type=Path),
        help=f"{what}; repeated, probabilities are averaged.  [default: {default}]",
    )


checkpoint_option = _checkpoint_option(
    "A run directory, .keras file or folder of several", "the network of Part 1 that comes with midas"
)


def _network(checkpoints, tta):
    """Load what answers, and say where it came from."""
    load_tensorflow()
    from midas.learning.classifier import Classifier

    paths = checkpoints or (shipped_checkpoint(),)
    network = Classifier.load(*paths)
    network = dataclasses.replace(network, tta=tta or network.tta)
    return network, str(paths[0]) if len(paths) == 1 else [str(path) for path in paths]


@click.group(
    cls=Commands,
    context_settings={"auto_envvar_prefix": "MIDAS", "help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="Example: midas run --data-dir sample",
)
@click.version_option(package_name="midas")
def main():
    """Read handwriting with small networks trained on few drawings, and learn from labels that are all wrong."""


# ---- data


@main.command(epilog="Example: midas download mnist --data-dir data")
@click.argument("names", nargs=-1, metavar="[mnist|part1|part3]...")
@apply(data_dir_option, json_option, common)
def download(names, data_dir, as_json):
    """Fetch the data sets into the data folder: all three, or those named. Goes on where it was cut off."""
    from midas.data.download import REMOTES, fetch

    unknown = set(names) - set(REMOTES)
    if unknown:
        raise click.BadParameter(f"no data set {', '.join(sorted(unknown))}; there are {', '.join(REMOTES)}")
    _refuse_sample(data_dir)
    states, failures = {}, []
    for name in names or REMOTES:
        try:
            for remote in REMOTES[name]:
                states[str(Path(data_dir) / remote.path)] = fetch(remote, data_dir, Progress().bytes)
        except MidasError as error:  # the other data sets may still be had
            failures.append(str(error))
    if states or not failures:
        emit({"files": states}, as_json, "\n".join(f"{path}: {state}" for path, state in states.items()))
    if failures:
        raise MidasError("; ".join(failures))


def _refuse_sample(data_dir: str) -> None:
    if data_dir == "sample":
        raise click.UsageError("the embedded sample is made when it is needed; give a folder as --data-dir")


@main.command("make-part3", epilog="Example: midas make-part3 --data-dir data --seed 0")
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), help="[default: mnistTask3.zip in the data folder]"
)
@click.option("--overwrite", is_flag=True, help="Replace an archive that is there.")
@apply(seed_option, data_dir_option, json_option, common)
def make_part3(out, overwrite, seed, data_dir, as_json):
    """Misfile the MNIST training images: each into a wrong folder, but for six a folder. Makes Part 3's archive."""
    from midas.data import complementary_mnist as misfiling
    from midas.data import datasets

    _refuse_sample(data_dir)
    out = out or Path(data_dir) / "mnistTask3.zip"
    if out.exists() and not overwrite:
        raise MidasError(f"{out}: is there already; choose another --out, or --overwrite it")
    images, labels = datasets.digits_as_published(data_dir)
    try:
        misfiling.write_archive(out, images, misfiling.wrong_folders(labels, seed))
    except ValueError as error:
        raise MidasError(f"{datasets.find_path('mnist', data_dir)}: cannot be misfiled: {error}") from error
    text = f"{out}: {len(labels):,} images in wrong folders"
    emit({"path": str(out), "images": len(labels), "seed": seed}, as_json, text)


@main.command(epilog="Example: midas preprocess --preview samples.png")
@click.option(
    "--data", "names", multiple=True, help="A data set's path; may be repeated.  [default: those of the data folder]"
)
@size_option
@click.option("--strict", is_flag=True, help="Make an image that cannot be used an error.")
@click.option("--csv", "csv_file", type=click.Path(dir_okay=False, path_type=Path), help="Write labels and pixels.")
@click.option("--preview", type=click.Path(dir_okay=False, path_type=Path), help="Draw samples of each class (PNG).")
@apply(data_dir_option, cache_dir_option, json_option, common)
def preprocess(names, size, strict, csv_file, preview, data_dir, cache_dir, as_json):
    """Turn drawings into normalised glyphs, kept in a cache, and say what the data hold.

    Without --data this takes Part 1, MNIST and Part 3, as far as they are in the data folder. --csv and --preview
    are of the first data set.
    """
    from midas.data import datasets
    from midas.report import previews as inspection

    progress = workplace(data_dir, "", cache_dir).progress
    named = {name: datasets.open_source(name, "train") for name in names}
    sources = named or datasets.find_all(data_dir)
    summaries = {}
    for name, source in sources.items():
        dataset = datasets.cached(source, size, cache_dir, strict, progress)
        summaries[name] = {**dataset.summary(), "source": source.path}
        if name == next(iter(sources)):
            if csv_file:
                inspection.write_csv(dataset, csv_file)
            if preview:
                inspection.write_preview(dataset, source, preview)
    emit(summaries, as_json, inspection.data_table(summaries))


@main.command(epilog="Example: midas augment --data data/trainPart1.zip --preview copies.png")
@click.option("--data", required=True, help="A data set's path; of train and test parts the training part.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Folder to write to, empty or new.")
@click.option("--repetitions", type=click.IntRange(1), default=10, show_default=True, help="Copies of each image.")
@click.option("--originals/--no-originals", default=True, show_default=True, help="Write the images themselves, too.")
@click.option("--preview", type=click.Path(dir_okay=False, path_type=Path), help="Draw some of the copies (PNG).")
@apply(*augmentation_options, size_option, seed_option, cache_dir_option, json_option, common)
def augment(data, out, repetitions, originals, preview, size, seed, cache_dir, as_json, **strengths):
    """Write augmented copies of the normalised glyphs as PNG, in class folders that every command reads.

    For looking at, and for other programs: the training commands augment by themselves, anew in each epoch. Give
    --out, --preview or both. A strength of 0 switches a deformation off.
    """
    if not (out or preview):
        raise click.UsageError("nothing to do: give --out, --preview or both")
    from midas.data import datasets
    from midas.data import export as copies

    strength = Augmentation(**strengths)
    if out:
        copies.refuse_filled(out)
    progress = Progress()
    source = datasets.open_source(data, "train")
    dataset = datasets.cached(source, size, cache_dir, progress=progress.images)
    warn_of_skipped(dataset, data)
    found = {
        "data": data,
        "size": size,
        "seed": seed,
        "augmentation": dataclasses.asdict(strength),
        "classes": len(dataset.class_names),
    }
    lines = []
    if out:
        folders = copies.write(dataset, out, repetitions, originals, strength, seed, progress.files)
        if datasets.name_classes(list(folders.values()))[0] != dataset.class_names:
            warn("Note: not every class can give its name to a folder; --json lists the folders")
        count = {"originals": len(dataset) * originals, "copies": len(dataset) * repetitions}
        found |= {"path": str(out), **count, "folders": folders}
        lines.append(f"{out}: {count['originals']:,} originals, {count['copies']:,} copies, {len(folders)} classes")
    if preview:
        copies.write_preview(dataset, preview, repetitions, strength, seed)
        found["preview"] = str(preview)
        lines.append(str(preview))
    emit(found, as_json, "\n".join(lines))


# ---- training


@main.command("train-part1", epilog="Example: midas train-part1 --epochs 40 --seed 1")
@training_options("part1")
def train_part1(**settings):
    """Train on the 62 classes of Part 1. The validation images are split off before augmentation."""
    _train("part1", settings)


@main.command("train-part2", epilog="Example: midas train-part2 --init pretrained --seed 1")
@click.option("--init", type=click.Choice(["random", "pretrained"]), default="random", show_default=True)
@click.option(
    "--source",
    type=click.Choice(["digits", "part1"]),
    help="Pretrained on the ten digits of Part 1, or on its 62 classes with a new last layer.  [default: digits]",
)
@click.option("--from", "from_checkpoint", type=click.Path(exists=True), help="Start from this checkpoint instead.")
@training_options("part2")
def train_part2(**settings):
    """Train on MNIST from random weights or from the digits of Part 1; score the test images once, at the end."""
    _train("part2", settings)


@main.command("train-part3", epilog="Example: midas train-part3 --loss complementary --init pretrained")
@click.option("--init", type=click.Choice(["random", "pretrained"]), default="random", show_default=True)
@click.option(
    "--from", "from_checkpoint", type=click.Path(exists=True), help="Start from this, not the Part 1 network."
)
@click.option(
    "--loss",
    type=click.Choice(LOSSES),
    default=PARTS["part3"].loss,
    show_default=True,
    help="given takes the folder for the class, the others for what the image is not.",
)
@click.option(
    "--rounds",
    type=click.IntRange(0),
    default=PARTS["part3"].rounds,
    show_default=True,
    help="How often, with the loss complementary, a fresh network learns from the answers of the one before.",
)
@training_options("part3")
def train_part3(**settings):
    """Train on images filed in wrong folders; score MNIST's test images once, by largest and by smallest output."""
    _train("part3", settings)


def _train(part: str, settings: dict) -> None:
    places = {key: settings.pop(key) for key in ("data_dir", "runs_dir", "cache_dir")}
    networks, resume, overwrite, tensorboard, as_json = (
        settings.pop(key) for key in ("ensemble", "resume", "overwrite", "tensorboard", "as_json")
    )
    place = workplace(**places)
    experiment = make_experiment(part, place.is_sample, settings)
    networks = networks or NETWORKS.get((part, settings["recipe"]), 1)
    seeds = [dataclasses.replace(experiment, seed=experiment.seed + member) for member in range(networks)]
    for one in seeds if not overwrite else ():  # what stands in the way of the last is known before the first
        place.run(one).check(one, resume)
    logs = [tensorboard / f"seed-{one.seed}" if tensorboard and networks > 1 else tensorboard for one in seeds]
    runs = [_perform(one, place, resume, overwrite, log) for one, log in zip(seeds, logs, strict=True)]
    results = [{**run.result, "path": str(run.path)} for run in runs]
    if len(runs) == 1:
        emit(results[0], as_json, f"{_table(runs)}\n{runs[0].path}")
        return
    found = {"runs": results, "path": str(runs[0].path.parent)}
    if experiment.test:  # or each has scored images of its own
        from midas.report import analysis

        found["together"] = analysis.score_together(runs)
    emit(found, as_json, f"{_table(runs, found.get('together'))}\n{found['path']}")


def _perform(experiment, place, resume=False, overwrite=False, tensorboard=None):
    from midas.studies import study

    if overwrite or not place.run(experiment).finished:
        load_tensorflow()
    return _told(*study.perform(experiment, place, resume, overwrite, tensorboard))


def _told(run: Run, done: bool) -> Run:
    """Say so where nothing had to be done for a run."""
    if not done:
        say(f"{run.path}: finished already, nothing to do (--overwrite does it again)")
    return run


def _table(runs, together: dict | None = None) -> str:
    from midas.report import page as report

    return report.table([*({**report.state(run), "state": None} for run in runs), *([together] if together else [])])


@main.command("cross-validate", epilog="Example: midas cross-validate --recipe best --all-data --repeats 2 --tta 8")
@apply(
    settings_options("part1"), protocol_options(ensemble=True), *place_options, *restart_options, json_option, common
)
def cross_validate(
    folds, repeats, ensemble, tta, data_dir, runs_dir, cache_dir, resume, overwrite, as_json, **settings
):
    """Judge a training of Part 1: every drawing is answered by networks that never saw it.

    More --repeats or a larger --ensemble keep what an earlier call has trained.
    """
    from midas.studies.cross_validation import Protocol, table

    place = workplace(data_dir, runs_dir, cache_dir)
    experiment = make_experiment("part1", place.is_sample, settings)
    run = _cross_validate(experiment, place, Protocol(folds, repeats, ensemble, tta or 1), resume, overwrite)
    emit({**run.result, "path": str(run.path)}, as_json, f"{table([run.result])}\n{run.path}")


def _cross_validate(experiment, place, protocol, resume, overwrite):
    load_tensorflow()
    from midas.studies import cross_validation as validation

    return _told(*validation.cross_validate(experiment, place, protocol, resume, overwrite))


@main.command("compare-models", epilog="Example: midas compare-models --recipe cosine --epochs 40 --all-data")
@click.argument("names", nargs=-1, type=click.Choice(MODEL_NAMES), metavar="[MODEL]...")
@apply(settings_options("part1", model=False), protocol_options(ensemble=False))
@apply(*place_options, *restart_options, json_option, common)
def compare_models(names, folds, repeats, tta, data_dir, runs_dir, cache_dir, resume, overwrite, as_json, **settings):
    """Cross-validate several networks, or all, on the same folds of Part 1: one table, one figure.

    Writes compare-models.json and compare-models.png (accuracy against cost) to the folder of cross-validations.
    """
    from midas.studies import cross_validation as validation

    place = workplace(data_dir, runs_dir, cache_dir)
    experiment = make_experiment("part1", place.is_sample, settings)
    chosen = [with_model(experiment, name) for name in names or MODEL_NAMES]
    protocol = validation.Protocol(folds, repeats, 1, tta or 1)
    results = [_cross_validate(one, place, protocol, resume, overwrite).result for one in chosen]
    figure = validation.write_comparison(results, place)
    emit({"models": results, "figure": str(figure)}, as_json, f"{validation.table(results)}\n{figure}")


@main.command(epilog="Example: midas compare part2 --seeds 5 --images-a-class 1 --images-a-class 10")
@click.argument("part", type=click.Choice(["part2", "part3"]))
@click.option("--seeds", type=click.IntRange(2), default=5, show_default=True, help="Trainings from each start.")
@click.option(
    "--start",
    "starts",
    multiple=True,
    type=click.Choice(STARTS),
    help="May be repeated; the first is what the others are held against.  [default: all]",
)
@click.option(
    "--images-a-class",
    "few",
    multiple=True,
    type=click.IntRange(1),
    help="Train on so few images as well, for label efficiency; may be repeated.",
)
@click.option("--model", type=click.Choice(MODEL_NAMES), help="[default: compact]")
@click.option("--epochs", type=click.IntRange(1), help="[default: 10]")
@click.option("--resume", is_flag=True, help="Go on with an unfinished run.")
@apply(*place_options, json_option, common)
def compare(part, seeds, starts, few, resume, data_dir, runs_dir, cache_dir, as_json, **settings):
    """Train from several starts with several seeds, paired, and say what differs between them, and how surely.

    Finished runs are kept, so more --seeds, starts or numbers of images add to what is there. Seeds count from 0.
    """
    from midas.report import comparison

    place = workplace(data_dir, runs_dir, cache_dir)
    changes = {name: value for name, value in settings.items() if value is not None}
    load_tensorflow()
    found = comparison.compare(part, starts or list(STARTS), range(seeds), place, few, resume, **changes)
    emit(found, as_json, "\n".join([comparison.table(found), "", *found["files"]]))


@main.command("run", epilog="Example: midas run --data-dir sample")
@click.option("--quick", is_flag=True, help="Few epochs, to see everything work; kept apart from the full runs.")
@apply(seed_option, data_dir_option, runs_dir_option, cache_dir_option, *restart_options, json_option, common)
def run_study(quick, seed, data_dir, runs_dir, cache_dir, resume, overwrite, as_json):
    """Do the whole study: all three parts from both starts, one table, one page."""
    from midas.report import page as report
    from midas.studies import study

    place = workplace(data_dir, runs_dir / "quick" if quick else runs_dir, cache_dir)
    experiments = study.experiments(place.is_sample, quick, seed)
    study.preprocess([e for e in experiments if overwrite or not place.run(e).finished], place)
    runs = [_perform(experiment, place, resume, overwrite) for experiment in experiments]
    page = place.root / "report.html"
    numbers = report.write_report(runs, page)
    emit({**numbers, "page": str(page)}, as_json, f"{_table(runs)}\n{page}")


# ---- using and looking at networks


@main.command(epilog="Example: midas evaluate --checkpoint checkpoints/part1/compact/seed-0 --data test.zip --json")
@checkpoint_option
@click.option(
    "--data",
    required=True,
    help="A zip, tar, folder, .npz or IDX file; of train and test parts the test part. 'sample': the embedded sample.",
)
@click.option(
    "--restrict/--no-restrict", default=False, show_default=True, help="Answer only with classes that are in the data."
)
@tta_option
@click.option("--strict", is_flag=True, help="Make an image that cannot be used an error.")
@apply(json_option, common)
def evaluate(checkpoints, data, restrict, tta, strict, as_json):
    """Score a network, or several together, on labelled images."""
    warn_of_sample(data)
    network, source = _network(checkpoints, tta)
    from midas.learning import reading
    from midas.report import analysis

    dataset, probabilities = reading.score(network, data, restrict, strict, Progress().images)
    summary = reading.summary(network, dataset, probabilities)
    warn_of_skipped(dataset, data)
    emit(
        {"checkpoint": source, "data": data, "tta": network.tta, **summary},
        as_json,
        analysis.classification_report(summary),
    )


@main.command(epilog="Example: midas predict --checkpoint checkpoints/part1/compact/seed-0 drawing.png")
@checkpoint_option
@click.argument("images", nargs=-1, required=True, metavar="IMAGE|FOLDER|ARCHIVE|-...")
@tta_option
@click.option("--csv", "as_csv", is_flag=True, help="Print comma-separated values instead of a table.")
@apply(json_option, common)
def predict(checkpoints, images, tta, as_csv, as_json):
    """Read characters from images: the answer, its probability and the next two guesses. '-' reads from stdin."""
    network, _ = _network(checkpoints, tta)
    from midas.learning import reading

    sources = [
        reading.stdin_source(sys.stdin.buffer.read()) if name == "-" else reading.open_source(name) for name in images
    ]
    skipped = []

    def skip(name, reason):
        skipped.append({"file": name, "reason": reason})
        warn(f"{name}: skipped: {reason}")

    answers = reading.predict(network, sources, skip)
    if as_json:
        emit({"predictions": list(answers), "skipped": skipped}, True, "")
    elif as_csv:
        table = csv.DictWriter(sys.stdout, reading.ANSWER, lineterminator="\n")
        table.writeheader()
        table.writerows(answers)
    else:
        for answer in answers:
            click.echo(reading.prediction_line(answer))


@main.command(epilog="Example: midas analyze --checkpoint checkpoints/part1/compact/seed-0")
@checkpoint_option
@click.option("--data", help="Labelled images.  [default: what the run itself scored]")
@tta_option
@click.option("--strict", is_flag=True, help="Make an image that cannot be used an error.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="[default: the run directory]")
@apply(json_option, common)
def analyze(checkpoints, data, tta, strict, out, as_json):
    """Draw confusion matrices, learning curves and the worst mistakes; write them as PNG and analysis.json.

    A cross-validation's directory is taken as a run's.
    """
    from midas.report import analysis

    first = checkpoints[0] if checkpoints else shipped_checkpoint()
    run = Run(first if first.is_dir() else first.parent)
    is_run = first in (run.path, run.checkpoint) and (run / "experiment.json").exists()
    out = out or (run.path if len(checkpoints) == 1 else None)
    if not out:
        raise MidasError("say with --out where the figures shall go")
    if data:
        warn_of_sample(data)
        network, source = _network(checkpoints, tta)
        from midas.learning import reading

        dataset, probabilities = reading.score(network, data, False, strict, Progress().images)
        names, predictions = network.class_names, dataset.predictions(probabilities)
        warn_of_skipped(dataset, data)
    elif is_run and len(checkpoints) < 2 and tta is None:
        source, names, predictions = str(first), run.card["class_names"], analysis.load_predictions(run)
    else:
        raise MidasError(f"{first}: is not what its run scored; say with --data what to ask it")
    about = {"checkpoint": source, "data": data or run.result["scored"]}
    found = analysis.analyze(predictions, list(names), run.metrics() if len(checkpoints) == 1 else [], out, about)
    pictures = "\n".join(str(out / file) for file in found["files"])
    emit(found, as_json, f"{analysis.classification_report(found)}\n\n{pictures}")


@main.command("audit-labels", epilog="Example: midas audit-labels --data scans.zip --out audit")
@click.option(
    "--data", required=True, help="A data set's path; of train and test parts the training part. Or 'sample'."
)
@_checkpoint_option(
    "A network that never saw these labels, as a witness",
    "networks trained on the labels themselves, each asked for images it did not see",
)
@tta_option
@click.option("--folds", type=click.IntRange(2), default=3, show_default=True, help="Networks to train.")
@click.option(
    "--epochs", type=click.IntRange(1), help="Of each training.  [default: 2 for 40,000 images and more, up to 30]"
)
@size_option
@click.option(
    "--limit", type=click.IntRange(2), help="Take so many images only, at random, of each class in proportion."
)
@click.option("--most", type=click.IntRange(1), default=20, show_default=True, help="Show so many suspects.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Folder for pictures and lists.")
@click.option("--cleanlab", is_flag=True, help="Ask cleanlab, too, where that is installed.")
@click.option("--strict", is_flag=True, help="Make an image that cannot be used an error.")
@apply(seed_option, cache_dir_option, json_option, common)
@click.pass_context
def audit_labels(
    ctx, data, checkpoints, tta, folds, epochs, size, limit, most, out, cleanlab, strict, seed, cache_dir, as_json
):
    """Find out how many labels of a data set are wrong, how, and which, without knowing a single true one.

    Writes audit.json, a corrected list (labels.csv) and pictures to --out; without, it only prints.
    """
    theirs = ("folds", "epochs", "size") if checkpoints else ("tta",)
    for name in theirs:
        if ctx.get_parameter_source(name) == ParameterSource.COMMANDLINE:
            raise click.UsageError(f"--{name} goes {'without' if checkpoints else 'with'} --checkpoint")
    if cleanlab and not importlib.util.find_spec("cleanlab"):
        raise MidasError("--cleanlab needs the package cleanlab: pip install cleanlab")
    warn_of_sample(data)
    network, source = _network(checkpoints, tta) if checkpoints else (None, None)
    from midas.data import datasets
    from midas.metrics import label_noise as label_audit
    from midas.report import label_audit as audit_report

    progress = Progress()
    opened = datasets.find("part1", data) if data == datasets.SAMPLE else datasets.open_source(data, "train")
    whole = datasets.cached(opened, network.size if network else size, cache_dir, strict, progress.images)
    warn_of_skipped(whole, data)
    if len(whole.class_names) < 2:
        raise MidasError(f"{data}: all images are of one class; labels are wrong or right only where there are two")
    dataset = whole.take(label_audit.part(whole.labels, limit, seed))
    if not network:
        load_tensorflow()
    from midas.studies import out_of_fold as witness

    about = {"data": data, "limit": limit, "seed": seed}
    if network:
        independent = whole.digest not in witness.learnt_from(checkpoints)
        if not independent:
            warn("Note: this network was trained on these very labels, and is no independent witness of them.")
        about["witness"] = {"checkpoint": source, "tta": network.tta, "independent": independent}
        probabilities = witness.ask(network, dataset, data)
    else:
        epochs = epochs or witness.default_epochs(len(dataset), folds)
        about["witness"] = {"checkpoint": None, "folds": folds, "epochs": epochs}
        probabilities = witness.cross_validate(dataset, data, folds, epochs, seed, progress.epoch)
    found = label_audit.audit(probabilities, dataset.labels, network is not None)
    summary = {**about, **audit_report.describe(found, dataset, most)}
    if cleanlab:
        summary["cleanlab"] = label_audit.compare_with_cleanlab(found, probabilities, dataset.labels)
    if out:
        summary = audit_report.write(found, dataset, summary, most, out)
    files = "".join(f"\n{out / name}" for name in summary.get("files", ()))
    emit(summary, as_json, audit_report.table(summary, most) + (f"\n{files}" if files else ""))


@main.command("list", epilog="Example: midas list --json")
@apply(runs_dir_option, json_option, common)
def list_runs(runs_dir, as_json):
    """List the runs, their state and headline numbers."""
    from midas.report import page as report
    from midas.runs import find_runs

    runs = find_runs(runs_dir)
    records = [report.state(run) for run in runs]
    emit({"runs": records}, as_json, report.table(records) if records else f"{runs_dir}: no runs yet")


@main.command(epilog="Example: midas models --classes 10")
@click.option("--classes", type=click.IntRange(2), default=62, show_default=True)
@apply(size_option, json_option, common)
def models(classes, size, as_json):
    """List the networks with their parameters and multiply-adds for one image."""
    load_tensorflow()
    from midas.learning.models import MODELS, build, multiply_adds

    rows = []
    for name in MODELS:
        network = build(name, size, classes)
        rows.append({"model": name, "parameters": network.count_params(), "multiply_adds": multiply_adds(network)})
    lines = [f"{row['model']:<14}{row['parameters']:>12,}{row['multiply_adds']:>15,}" for row in rows]
    emit({"models": rows}, as_json, "\n".join([f"{'model':<14}{'parameters':>12}{'multiply-adds':>15}", *lines]))


@main.command("report", epilog="Example: midas report --out report.html")
@click.argument("runs", nargs=-1, type=click.Path(exists=True, path_type=Path))
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), help="[default: report.html in the runs folder]"
)
@apply(runs_dir_option, json_option, common)
def report_page(runs, out, runs_dir, as_json):
    """Write one page about finished runs: those given, or all below the runs folder."""
    from midas.report import page as report
    from midas.runs import find_comparisons, find_runs

    out = out or runs_dir / "report.html"
    chosen, comparisons = (map(Run, runs), ()) if runs else (find_runs(runs_dir), find_comparisons(runs_dir))
    numbers = report.write_report(list(chosen), out, comparisons=comparisons)
    emit(numbers, as_json, str(out))
