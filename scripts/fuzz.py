"""Give every reader of midas broken and hostile files; each must be read, or refused in one line.

    python scripts/fuzz.py --inputs 40000 --seed 0

Inputs are valid files, damaged: bytes set, parts removed, repeated or zeroed, numbers made huge, two files joined; and
files made to do harm: zip bombs, links and paths that lead outside, pickles, layers that contain code. `midas serve`
gets requests that are damaged likewise. Readers work in processes of their own, so that a crash is noticed. Failures
are a traceback, more than 10 s of CPU time for one input, more than 2 GB of memory, or a file outside the folder.
Prints a Markdown table; the exit status is 1 after a failure.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import numpy as np
from fuzz_inputs import DEEP, damaged, data_files, idx, npz, retyped

from midas.errors import MidasError

if TYPE_CHECKING:
    from midas.runs import Run

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

SLOWEST, LARGEST = 10, 2 * 2**30  # seconds, bytes
BATCH = 1000  # inputs per process

Read = Callable[[int], None]  # reads the input of this number


# ---- readers: each takes a folder to write to and a seed, and returns a function that reads an input by its number


def read_data(folder: Path, seed: int) -> Read:
    """Read data sets and images as preprocess, evaluate and predict do."""
    from midas.data import datasets
    from midas.data.levels import UnreadableImage
    from midas.data.sources import open_source

    files = data_files()
    everything = [DEEP, *(data for several in files.values() for data in several)]
    (folder / "train-labels-idx1-ubyte").write_bytes(idx(np.arange(6).astype(np.uint8)))

    def one(number: int) -> None:
        rng = np.random.default_rng([seed, number])
        name = list(files)[rng.integers(len(files))]
        path = folder / name
        path.write_bytes(damaged(files[name][rng.integers(len(files[name]))], everything, rng))
        source = open_source(path)
        try:
            if name.startswith(("image", "pages")):
                for entry in source.entries():
                    list(entry.pages())
                    entry.read()
            else:
                datasets.read(source)
        except UnreadableImage as error:
            assert "\n" not in str(error)

    return one


def read_runs(folder: Path, seed: int) -> Read:
    """Read run directories as list, analyze and compare do, and now and then as report does."""
    from midas.report import comparison, page, tables
    from midas.runs import Run, find_runs

    run = Run(folder / "runs" / "part2" / "random" / "seed-0")
    files = run_files(run)
    validated = Run(folder / "runs" / "part2" / "validated" / "seed-0")
    validated.start(run.experiment)
    files |= {f"../../validated/seed-0/{name}": data for name, data in validation_files(files).items()}

    def one(number: int) -> None:
        rng = np.random.default_rng([seed, number])
        for name, data in files.items():
            (run / name).write_bytes(data)
        name = list(files)[rng.integers(len(files))]
        data = files[name]
        if name.endswith(".json") and rng.random() < 0.7:
            data = json.dumps(retyped(json.loads(data), rng)).encode()
        else:
            data = damaged(data, [DEEP, *files.values()], rng)
        (run / name).write_bytes(data)
        tables.results_table([tables.run_state(found) for found in find_runs(folder / "runs")])
        if number % 20 == 0:
            page.write_report(list(find_runs(folder / "runs")), folder / "report.html")
        elif number % 2:
            run.predictions()
        else:
            comparison.summarize("part2", {("random", None): [run, run]})

    return one


def run_files(run: Run) -> dict[str, bytes]:
    """Write the experiment of a run of Part 2, and return the contents of its files by name."""
    from midas.files import to_json
    from midas.metrics import classification
    from midas.recipes import PARTS
    from midas.records import Card, Environment, EpochRecord, Result

    run.start(PARTS["part2"])
    n, names = 20, tuple("0123456789")
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.ones(10), n).astype(np.float32)
    labels = rng.integers(0, 10, n)
    scores: dict[str, Any] = vars(classification.score(probabilities, labels, names))
    about: dict[str, Any] = {"part": "part2", "name": "random", "seed": 0, "scored": "mnist-test"}
    result = Result(**about, **scores, epochs=2, best_epoch=2, train_seconds=1.0)
    epochs = [
        EpochRecord(epoch, 1.0, 0.5, 1.0, 0.5, learning_rate=0.001, steps=10 * epoch, epoch_seconds=1.0)
        for epoch in (1, 2)
    ]
    return {
        "experiment.json": (run / "experiment.json").read_bytes(),
        "card.json": to_json(Card(names, size=28, model="compact")).encode(),
        "environment.json": to_json(Environment(midas="0.1.0", argv=("midas",))).encode(),
        "metrics.jsonl": "".join(to_json(record, indent=None) + "\n" for record in epochs).encode(),
        "result.json": to_json(result).encode(),
        "predictions.npz": npz(
            probabilities=probabilities,
            labels=labels,
            names=np.array([f"{i}.png" for i in range(n)]),
            images=rng.integers(0, 256, (n, 28, 28)).astype(np.uint8),
            embedded=np.arange(n),
            features=rng.normal(size=(n, 4)).astype(np.float16),
        ),
    }


def validation_files(files: dict[str, bytes]) -> dict[str, bytes]:
    """Make the contents of the files of a cross-validation from those of a run."""
    from midas.files import to_json
    from midas.records import CrossValidationResult, CrossValidationScores, ErrorKinds, MeanScore

    score = MeanScore(0.9, 0.01, (0.88, 0.92))
    about: dict[str, Any] = {"part": "part2", "name": "random", "seed": 0, "scored": "held-out folds", "n": 20}
    protocol = {"folds": 5, "repeats": 1, "ensemble": 1, "tta": 1, "epochs": 20.0, "train_seconds": 1.0}
    network: dict[str, Any] = {"model": "compact", "parameters": 1, "macs": 1, "sample": False}
    scores = (CrossValidationScores(1, 1, 1.2, score, score, score),)
    result = CrossValidationResult(**about, **protocol, **network, scores=scores, errors=ErrorKinds(0.1, 0.1, 0.0))
    return {"card.json": files["card.json"], "result.json": to_json(result).encode()}


def read_checkpoints(folder: Path, seed: int) -> Read:
    """Load networks as evaluate and predict do, and as resuming does; code that runs would leave a folder."""
    import keras

    from midas.data.glyphs import Glyphs
    from midas.learning import models
    from midas.learning.checkpoints import load_for_training
    from midas.learning.classifier import Classifier

    valid = models.build("original", 14, 3)
    harm = folder.parent / "harm"
    code = keras.Sequential(
        [
            keras.Input((14, 14)),
            keras.layers.Lambda(lambda x, harm=str(harm): __import__("os").mkdir(harm) or x, (14, 14)),
        ]
    )
    files = []
    for number, model in enumerate((valid, code)):
        model.save(folder / f"{number}.keras")
        files.append((folder / f"{number}.keras").read_bytes())
    card = {"class_names": list("abc"), "size": 14, "model": "original"}
    if harm.exists():  # made by building the layer here
        harm.rmdir()

    def one(number: int) -> None:
        rng = np.random.default_rng([seed, number])
        (folder / "net.keras").write_bytes(damaged(files[rng.integers(2)], files, rng))
        changed = retyped(card, rng) if rng.random() < 0.3 else card
        (folder / "net.json").write_text(json.dumps(changed))
        try:
            network = Classifier.load(folder / "net.keras")
            network.probabilities(Glyphs.without_places(np.zeros((1, network.size, network.size), np.uint8)))
        finally:
            assert not harm.exists(), "code was run"
            if number % 10 == 0:
                try:
                    load_for_training(folder / "net.keras")
                finally:
                    assert not harm.exists(), "code was run"

    return one


def read_pages(folder: Path, seed: int) -> Read:
    """Read pages of text, deformed, as predict --lines, --table and --overlay do."""
    import cv2
    from writing import write_page

    import midas
    from midas.data.levels import UnreadableImage
    from midas.data.reading import pages
    from midas.data.sources import open_source
    from midas.predictions import as_record
    from midas.report.overlays import write_overlay
    from midas.report.prediction_tables import character_table

    network = midas.load()
    texts = [write_page(text) for text in ("Meet me at 7\nin ROOM 42", "R", "iiii jj l")]

    def one(number: int) -> None:
        rng = np.random.default_rng([seed, number])
        page = texts[rng.integers(len(texts))]
        for _ in range(rng.integers(0, 4)):
            page = DEFORMATIONS[rng.integers(len(DEFORMATIONS))](page, rng)
        data = cv2.imencode(".png" if rng.random() < 0.7 else ".jpg", page)[1].tobytes()
        path = folder / "page.png"
        path.write_bytes(damaged(data, [data], rng) if rng.random() < 0.2 else data)
        refused = list[str]()
        try:
            for name, gray in pages([open_source(path)], lambda name, reason: refused.append(reason)):
                reading = network.read_page(name, gray, network.answers(reject=bool(rng.integers(2))))
                json.dumps(as_record(reading))
                character_table(reading)
                write_overlay(gray, reading, folder / "read.png")
        except UnreadableImage as error:
            refused.append(str(error))
        if refused:
            raise MidasError(refused[0])

    return one


DEFORMATIONS: tuple[Callable[[np.ndarray, np.random.Generator], np.ndarray], ...] = (
    lambda page, rng: 255 - page,
    lambda page, rng: np.ascontiguousarray(np.rot90(page, int(rng.integers(4)))),
    lambda page, rng: page[int(rng.integers(len(page))) :],
    lambda page, rng: page[:, : int(rng.integers(1, page.shape[1] + 1))],
    lambda page, rng: page[:: int(rng.integers(1, 30)), :: int(rng.integers(1, 30))],
    lambda page, rng: np.tile(page, (int(rng.integers(1, 4)), int(rng.integers(1, 4))))[:3000, :3000],
    lambda page, rng: np.where(rng.random(page.shape) < rng.random() ** 3, rng.integers(256), page).astype(np.uint8),
    lambda page, rng: (page * rng.random() + 255 * rng.random()).clip(0, 255).astype(np.uint8),
)


def read_settings(folder: Path, seed: int) -> Read:
    """Read what options name: settings, class names, classes, lists of corrections; and apply these."""
    from click.testing import CliRunner

    from midas.cli import main as command_line
    from midas.cli.settings import choose_classes
    from midas.data.corrections import apply_corrections, read_corrections
    from midas.data.labels import read_class_names
    from midas.data.sources import open_source
    from midas.recipes import PARTS

    data = open_source(_written(folder / "data.zip", data_files()["data.zip"][0]))

    def configure(path: Path) -> None:
        words = ["train-part1", "--config", str(path), "--data-dir", str(folder / "none"), "--runs-dir", str(folder)]
        done = CliRunner().invoke(command_line, words, env={"MIDAS_CACHE_DIR": str(folder)})
        if not isinstance(done.exception, SystemExit):
            raise done.exception or AssertionError("trained without data")
        errors = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
        assert len(errors) == 1, done.stderr
        raise MidasError(errors[0])

    def correct(path: Path) -> None:
        out = folder / "corrected"
        try:
            apply_corrections(data, read_corrections(path), out)
        finally:
            shutil.rmtree(out, ignore_errors=True)

    names = b"label,name\n" + b"".join(b"%d,%c\n" % (n, 65 + n) for n in range(5))
    rows = b"a/0.png,a,b,relabel\na/1.png,a,,drop\nb/0.png,b,../../out,relabel\nb/1.png,b,b,keep\n"
    few = {"epochs": 3, "learning_rate": 0.01, "augmentation": {"elastic": 0.0}}
    kinds: dict[str, tuple[Callable[[Path], Any], list[bytes]]] = {
        "experiment.json": (configure, [json.dumps(each).encode() for each in (PARTS["part1"].to_json(), few)]),
        "names.csv": (read_class_names, [names, b"1 65\n2 66\n", b"cat\ndog\n", names.replace(b",", b"\t")]),
        "names.json": (read_class_names, [b'{"0": "A", "1": "B"}', b'["A", "B"]']),
        "classes.txt": (lambda path: choose_classes(str(path), "0123456789AB,"), [b"0-3,A\n,\nB\n"]),
        "labels.csv": (correct, [b"file,label,suggested,decision\n" + rows, b"file,label,suggested\n"]),
    }
    everything = [DEEP, *(content for _, contents in kinds.values() for content in contents)]

    def one(number: int) -> None:
        rng = np.random.default_rng([seed, number])
        name = list(kinds)[rng.integers(len(kinds))]
        read, contents = kinds[name]
        content = contents[rng.integers(len(contents))]
        if name.endswith(".json") and rng.random() < 0.7:
            content = json.dumps(retyped(json.loads(content), rng)).encode()
        else:
            content = damaged(content, everything, rng)
        read(_written(folder / name, content))

    return one


def _written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def read_exported(folder: Path, seed: int) -> Read:
    """Read the card of an exported folder, and drawings, as the read.py in it does."""
    from midas.learning import read_exported as reader

    reader.HERE = folder
    card = {"class_names": list("abc"), "size": 28, "model": "compact", "pen": {"finest": 3, "fine": 4.5}}
    # OpenCV by itself allocates all that a PNG claims to have; midas looks first, read.py does not.
    names = [name for name in data_files() if name.startswith("image") and not name.endswith(".png")]
    images = [content for name in names for content in data_files()[name]]

    def one(number: int) -> None:
        rng = np.random.default_rng([seed, number])
        changed = json.dumps(retyped(card, rng) if rng.random() < 0.5 else card).encode()
        _written(folder / "card.json", changed if rng.random() < 0.7 else damaged(changed, [changed], rng))
        path = _written(folder / "drawing.png", damaged(images[rng.integers(len(images))], images, rng))
        try:
            size, _, pen = reader.read_card()
            glyph, _ = reader.normalize(reader.read_gray(str(path)), size)
            reader.thicken(glyph, *pen)
        except (SystemExit, ValueError) as error:  # of which its `main` makes one line
            raise MidasError(str(error)) from error

    return one


def read_requests(folder: Path, seed: int) -> Read:
    """Answer requests, as midas serve does."""
    from fuzz_requests import answer_requests

    return answer_requests(folder, seed)


READERS: dict[str, Callable[[Path, int], Read]] = {
    "data": read_data,
    "settings": read_settings,
    "runs": read_runs,
    "checkpoints": read_checkpoints,
    "exported": read_exported,
    "pages": read_pages,
    "requests": read_requests,
}
SETTINGS = {"exported": {"OPENCV_IO_MAX_IMAGE_PIXELS": str(2**25)}}  # as read.py sets it where OpenCV is not loaded yet
SHARES = {  # of the inputs
    "data": 0.4,
    "settings": 0.1,
    "runs": 0.15,
    "checkpoints": 0.05,
    "exported": 0.05,
    "pages": 0.05,
    "requests": 0.2,
}


# ---- the work


class TooSlow(BaseException):
    """One input took longer than `SLOWEST`; not an `Exception`, so that no reader can catch it."""


def _too_slow(signum: int, frame: FrameType | None) -> None:
    raise TooSlow


def work(reader: str, seed: int, first: int, count: int) -> dict[str, Any]:
    """Give a reader some inputs: how many were read and refused, what failed, the slowest, and the memory used."""
    signal.signal(signal.SIGPROF, _too_slow)
    found: dict[str, Any] = {"read": 0, "refused": 0, "failures": [], "slowest": 0.0}
    with tempfile.TemporaryDirectory() as outer:
        folder = Path(outer) / "in" / "side"
        folder.mkdir(parents=True)
        one = READERS[reader](folder, seed)
        for number in range(first, first + count):
            print(number, file=sys.stderr, flush=True)  # tells where a process died
            began = time.process_time()
            signal.setitimer(signal.ITIMER_PROF, SLOWEST)
            try:
                one(number)
                found["read"] += 1
            except MidasError as error:
                found["refused"] += 1
                if "\n" in str(error):
                    found["failures"].append(f"{number}: more than one line: {error}")
            except (Exception, TooSlow) as error:
                found["failures"].append(f"{number}: {type(error).__name__}: {str(error)[:200]}")
            finally:
                signal.setitimer(signal.ITIMER_PROF, 0)
            found["slowest"] = max(found["slowest"], time.process_time() - began)
        strays = [str(path) for path in Path(outer).rglob("*") if folder not in (path, *path.parents)]
        strays = [path for path in strays if path != str(folder.parent)]
        found["failures"] += [f"{first}-{first + count}: a file outside: {path}" for path in strays]
    found["memory"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    if found["memory"] > LARGEST:
        found["failures"].append(f"{first}-{first + count}: {found['memory'] / 2**30:.1f} GB of memory")
    return found


def work_apart(reader: str, seed: int, first: int, count: int) -> dict[str, Any]:
    """Run `work` in a process of its own."""
    command = [sys.executable, __file__, "--work", reader, str(first), str(count), "--seed", str(seed)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **SETTINGS.get(reader, {})})
    if done.returncode:
        numbers = [line for line in done.stderr.splitlines() if line.isdigit()]
        last = numbers[-1] if numbers else "start"
        failure = f"{last}: the process died ({done.returncode}): {done.stderr[-300:]}"
        return {"read": 0, "refused": 0, "failures": [failure], "slowest": 0.0, "memory": 0}
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Distribute the inputs, and print the outcome."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--inputs", type=int, default=40_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=READERS, nargs="*", default=list(READERS))
    parser.add_argument("--work", nargs=3, metavar=("READER", "FIRST", "COUNT"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        reader, first, count = options.work
        print(json.dumps(work(reader, options.seed, int(first), int(count))), flush=True)
        os._exit(0)  # a server may still run in a thread
    failures = []
    print(
        "| reader | inputs | read | refused in one line | failures | slowest | memory |\n|---|---|---|---|---|---|---|"
    )
    for reader in options.only:
        inputs = round(options.inputs * SHARES[reader])
        batches = [work_apart(reader, options.seed, n, min(BATCH, inputs - n)) for n in range(0, inputs, BATCH)]
        read, refused = (sum(batch[key] for batch in batches) for key in ("read", "refused"))
        wrong = [f"{reader} {failure}" for batch in batches for failure in batch["failures"]]
        slowest, memory = (max(batch[key] for batch in batches) for key in ("slowest", "memory"))
        print(
            f"| {reader} | {inputs:,} | {read:,} | {refused:,} | {len(wrong)} | {slowest:.1f} s | "
            f"{memory / 2**20:.0f} MB |",
            flush=True,
        )
        failures += wrong
    if failures:
        raise SystemExit("\n".join(failures[:50]))


if __name__ == "__main__":
    main()
