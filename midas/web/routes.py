"""What the server answers: the page, and JSON. Nothing in a request is ever used as a path."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from flask import Blueprint, Response, current_app, jsonify, render_template, request
from werkzeug.datastructures import FileStorage
from werkzeug.exceptions import RequestEntityTooLarge

import midas
from midas.data.levels import UnreadableImage
from midas.data.reading import pages
from midas.data.segmentation import shows_several
from midas.data.strokes import HEIGHT, PEN, WIDTH, draw_strokes
from midas.errors import MidasError, counted, printable
from midas.files import plain
from midas.predictions import as_record
from midas.records import EpochRecord
from midas.runs import Run
from midas.web.collection import parse_classes
from midas.web.guard import PREDICT
from midas.web.jobs import Job
from midas.web.networks import Offer, Uploads, about
from midas.web.refusals import refuse
from midas.web.services import Services

FINE_PEN = 20  # pixels; of several characters on one page
MAX_STROKES = 200
MAX_EXPLAINED = 12  # strokes that are left out in turn
REACH = 4000  # pixels; points farther away are no drawing
MAX_NETWORKS = 8  # asked at once
MAX_UPLOADS = 20
MAX_EPOCHS = 1000
RUN_NAME = re.compile(r"\w[\w.-]{0,58}\w|\w")

blueprint = Blueprint("web", __name__)


def services() -> Services:
    """Give what the routes work with."""
    return current_app.extensions["midas"]


@blueprint.get("/")
def page() -> str:
    """Give the page."""
    return render_template("index.html", version=midas.__version__, pen=PEN, fine_pen=FINE_PEN, size=(WIDTH, HEIGHT))


# ---- read


@blueprint.post(PREDICT)
def predict() -> Response | tuple[Response, int]:
    """Read images as `midas predict --json` does."""
    (offer,) = services().networks.choose([])
    network = services().networks.classifier(offer)
    answers, skipped = network.answers(), list[dict[str, str]]()
    images = _images()
    uploads = Uploads(services().settings.limits.pixels)
    sources = [uploads.source(image.read(), _name(image)) for image in images]

    def skip(name: str, reason: str) -> None:
        skipped.append({"file": name, "reason": reason})

    found: list[Any] = []
    if request.form.get("lines"):
        for name, one in pages(sources, skip):
            try:
                found.append(network.read_page(name, one, answers))
            except UnreadableImage as error:
                skip(name, str(error))
    else:
        found = list(network.predict_stream(sources, skip, answers))
    answer: dict[str, Any] = {"predictions": [as_record(each) for each in found], "skipped": skipped}
    if found or not skipped:
        return jsonify(answer)
    status = 413 if uploads.exceeded else 422
    return jsonify({"error": "{file}: {reason}".format(**skipped[0]), **answer}), status


@blueprint.get("/api/networks")
def networks() -> Response:
    """List the networks."""
    return jsonify(networks=[about(offer) for offer in services().networks.offers()])


@blueprint.post("/api/read")
def read() -> Response:
    """Read a drawing or an image with the chosen networks."""
    start = time.perf_counter()
    chosen, values = _chosen(), _values()
    one, _ = _page(values)
    mode = values.get("mode", "auto")
    if mode == "page" or (mode == "auto" and shows_several(one)):
        answer = {"kind": "page", "width": one.shape[1], "height": one.shape[0]}
        answer["answers"] = [_read_page(offer, one) for offer in chosen]
    else:
        answer = {"kind": "character", "answers": [services().networks.read(offer, one) for offer in chosen]}
    return jsonify(**answer, milliseconds=round(1000 * (time.perf_counter() - start), 1))


def _read_page(offer: Offer, one: np.ndarray) -> dict[str, Any]:
    network = services().networks.classifier(offer)
    return {**about(offer), **as_record(network.read_page("page", one, network.answers(top=5)))}


@blueprint.post("/api/explain")
def explain() -> Response:
    """Say what the answer of the first chosen network rests on."""
    (offer, *_), values = _chosen(), _values()
    one, strokes = _page(values)
    count = len(strokes) if 2 <= len(strokes) <= MAX_EXPLAINED else 0
    without = (draw_strokes([*strokes[:i], *strokes[i + 1 :]]) for i in range(count))
    return jsonify(services().networks.explain(offer, one, without))


def _values() -> dict[str, Any]:
    """Give what the request says: fields of a form with an image, or a JSON object."""
    if request.files or request.form:
        return {**request.form, "networks": request.form.getlist("networks")}
    try:
        values = request.get_json()
    except RecursionError as error:
        raise MidasError("send a JSON object") from error
    if not isinstance(values, dict):
        raise MidasError("send a JSON object")
    return values


def _chosen() -> list[Offer]:
    keys = _values().get("networks") or []
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys) or len(keys) > MAX_NETWORKS:
        raise MidasError(f"choose up to {MAX_NETWORKS} networks")
    return services().networks.choose(keys)


def _page(values: dict[str, Any]) -> tuple[np.ndarray, list[np.ndarray]]:
    """Give the page of a request, and the strokes that it was drawn with, if it was.

    Raises:
        UnreadableImage: it cannot be decoded.
    """
    if "strokes" in values:
        strokes = _strokes(values["strokes"])
        return draw_strokes(strokes, FINE_PEN if values.get("mode") == "page" else PEN), strokes
    (image, *_) = _images()
    reasons = list[str]()
    uploads = Uploads(services().settings.limits.pixels)
    source = uploads.source(image.read(), _name(image))
    found = next(pages([source], lambda name, reason: reasons.append(reason)), None)
    if found is None:
        if uploads.exceeded:
            raise RequestEntityTooLarge
        raise UnreadableImage(f"{_name(image)}: {reasons[0]}")
    return found[1], []


def _strokes(values: Any) -> list[np.ndarray]:
    """Check strokes: lists of points [x, y] in pixels of the page."""
    limit = services().settings.limits.points
    if not isinstance(values, list) or not 1 <= len(values) <= MAX_STROKES:
        raise MidasError(f"a drawing has 1 to {MAX_STROKES} strokes")
    if sum(len(each) if isinstance(each, list) else 1 for each in values) > limit:
        raise RequestEntityTooLarge()
    for x in chain.from_iterable(_numbers(each) for each in values):
        if not -REACH <= x <= REACH:  # true of NaN, too
            raise MidasError("a point lies far from the page")
    return [np.array(each, np.float64) for each in values]


def _numbers(stroke: Any) -> Iterator[float]:
    if not isinstance(stroke, list) or not stroke:
        raise MidasError("a stroke is a list of points [x, y]")
    for point in stroke:
        if not isinstance(point, list) or len(point) != 2 or not all(type(x) in (int, float) for x in point):
            raise MidasError("a stroke is a list of points [x, y]")
        yield from point


def _images() -> list[FileStorage]:
    images = request.files.getlist("image")
    if not 1 <= len(images) <= MAX_UPLOADS:
        raise MidasError(f"send 1 to {MAX_UPLOADS} files in the multipart field 'image'")
    return images


def _name(image: FileStorage) -> str:
    """Give what an upload is called; it is only shown, never opened."""
    return printable((image.filename or "image").replace("\\", "/").rpartition("/")[2])[:200] or "image"


# ---- collect


@blueprint.get("/api/collections")
def collections() -> Response:
    """List the collections."""
    return jsonify(collections=[each.state() for each in services().collections])


@blueprint.post("/api/collections")
def create_collection() -> Response:
    """Make a collection, or extend one."""
    values = _values()
    classes = parse_classes(str(values.get("classes", ""))[:20_000])
    made = services().collections.create(str(values.get("name", "")).strip(), classes, values.get("wanted", 10))
    return jsonify(made.state())


@blueprint.get("/api/collections/<name>")
def collection(name: str) -> Response:
    """Describe a collection, with what to draw next."""
    return jsonify(services().collections.open(name).state(request.args.get("skip")))


@blueprint.post("/api/collections/<name>/drawings")
def save_drawing(name: str) -> Response:
    """Save a drawing, which is on disk when this answers."""
    values = _values()
    found, label = services().collections.open(name), str(values.get("label"))
    found.save(str(values.get("id")), label, draw_strokes(_strokes(values.get("strokes"))))
    return jsonify(found.state())


@blueprint.post("/api/collections/<name>/undo")
def undo_drawing(name: str) -> Response:
    """Remove a drawing, whose class comes next again."""
    values = _values()
    found, label = services().collections.open(name), str(values.get("label"))
    found.remove(str(values.get("id")), label)
    return jsonify({**found.state(), "next": label})


# ---- train


@blueprint.get("/api/job")
def job() -> Response:
    """Describe the job that runs, or ran last, with the learning curve of a training."""
    jobs = services().jobs
    last = jobs.last()
    if not last:
        return jsonify(job=None, running=False)
    running = jobs.is_running()
    told: dict[str, Any] = {"job": {"kind": last.kind, "name": last.name}, "running": running}
    told["failure"], told["progress"] = jobs.failure(), jobs.progress() if running else ""
    if last.kind == "copy" and not running and not told["failure"]:
        told["copy"] = jobs.result()
    if last.kind == "train":
        run = Run(last.folder)
        told["epochs"] = [_epoch(each) for each in run.epochs()]
        told["of"] = run.experiment.epochs if (run / "experiment.json").exists() else None
        told["finished"] = run.finished and not running
        told["accuracy"] = plain(run.result.accuracy) if told["finished"] else None
        told["scored"] = f"{run.result.scored}, {counted(run.result.n, 'image')}" if told["finished"] else None
        told["network"] = f"custom/{last.name}/{run.path.name}" if run.checkpoint.is_file() else None
        told["resumable"] = not running and not told["finished"] and (run / "experiment.json").exists()
    return jsonify(told)


def _epoch(record: EpochRecord) -> dict[str, Any]:
    return {name: plain(getattr(record, name)) for name in ("epoch", "loss", "accuracy", "val_loss", "val_accuracy")}


@blueprint.post("/api/train")
def train() -> Response:
    """Start a training on a data set."""
    values = _values()
    path, name, epochs = services().data_set(values.get("data")), str(values.get("name", "")), values.get("epochs")
    if not RUN_NAME.fullmatch(name):
        raise MidasError("a run is named by up to 60 letters, digits, hyphens, dots and underscores")
    if epochs is not None and not (type(epochs) is int and 1 <= epochs <= MAX_EPOCHS):
        raise MidasError(f"train for 1 to {MAX_EPOCHS} epochs")
    runs_dir = services().settings.runs_dir
    run = Run(runs_dir / "custom" / name / "seed-0")
    if (run / "experiment.json").exists():
        raise MidasError(f"there is a run {name!r}; choose another name")
    options = ["--name", name, "--runs-dir", str(runs_dir), "--json"]
    options += ["--epochs", str(epochs)] if epochs else []
    return _started(Job("train", name, str(run.path), ("train", *options, "--", path)))


@blueprint.post("/api/train/resume")
def resume() -> Response:
    """Resume the training that was stopped last."""
    last = services().jobs.last()
    if not last or last.kind != "train":
        raise MidasError("no training to resume")
    command, *options = last.arguments
    resumed = [command, "--resume", *(option for option in options if option != "--resume")]
    return _started(replace(last, arguments=tuple(resumed)))


def _started(job: Job) -> Response:
    started = services().jobs.start(job)
    return jsonify(job={"kind": started.kind, "name": started.name}, running=True)


@blueprint.post("/api/stop")
def stop() -> Response:
    """Interrupt the job."""
    services().jobs.stop()
    return jsonify(stopping=True)


# ---- check


@blueprint.get("/api/data")
def data_sets() -> Response:
    """List the data sets that can be trained on and checked."""
    found = [{"name": key, "audited": services().audit(key).exists} for key in services().data_sets()]
    return jsonify(data=found)


@blueprint.post("/api/audit")
def audit() -> Response:
    """Start a label audit."""
    key = _values().get("data")
    found = services().audit(key)
    arguments = ("audit-labels", "--data", found.data, "--out", str(found.folder), "--json")
    return _started(Job("audit", str(key), str(found.folder), arguments))


@blueprint.get("/api/audit")
def gallery() -> Response:
    """Describe the suspects of an audit."""
    return jsonify(services().audit(request.args.get("data")).gallery())


@blueprint.post("/api/audit/decision")
def decide() -> Response:
    """Write what was decided about a suspect."""
    values = _values()
    index, label, version = (values.get(key) for key in ("index", "label", "version"))
    if type(index) is not int:
        raise MidasError("name an image by its index")
    with services().turn:
        decided = services().audit(values.get("data")).decide(index, str(values.get("action", "")), label, version)
    return jsonify(decided)


@blueprint.post("/api/audit/write")
def write_copy() -> Response:
    """Start writing a corrected copy, which is a new folder among the collections."""
    key = _values().get("data")
    found = services().audit(key)
    if not found.decisions_file.exists():
        raise MidasError("nothing was decided yet")
    out = services().collections.free_name(f"{Path(str(key)).stem} corrected")
    applied = ("--apply", str(found.decisions_file), "--out", str(out), "--json")
    return _started(Job("copy", str(key), str(out), ("audit-labels", "--data", found.data, *applied)))


@blueprint.get("/api/audit/<int:index>.png")
def tile(index: int) -> Response | tuple[Response, int]:
    """Give the picture of a suspect."""
    try:
        content = services().audit(request.args.get("data")).tile(index)
    except MidasError as error:
        return refuse(404, str(error))
    return Response(content, mimetype="image/png")
