"""Servers for tests: the application of `midas serve`, on temporary folders."""

import contextlib
import threading
from pathlib import Path

import keras
from flask.testing import FlaskClient
from waitress.server import create_server

from midas.experiments import Experiment
from midas.learning import models
from midas.records import Card, Samples
from midas.runs import Run
from midas.web.app import make_app
from midas.web.services import Services, Settings

HOST = "localhost"  # as the client of Flask calls it
SEVEN = [[[400, 250], [750, 250], [560, 720]]]


def client(folder: Path, **changes) -> FlaskClient:
    """Make a client of an application whose files are below `folder`; it asks as the page itself does."""
    settings = Settings(**{"collections": folder / "collections", "runs_dir": folder / "runs", **changes})
    app = make_app(Services.of(settings))
    made = app.test_client()
    made.environ_base["HTTP_ORIGIN"] = f"http://{HOST}"
    return made


@contextlib.contextmanager
def served(services: Services):
    """Serve the page from this process, with its default network loaded; gives the address."""
    services.networks.warm_up()
    server = create_server(make_app(services), host="127.0.0.1", port=0, threads=4)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.effective_port}/"
    finally:
        services.jobs.close()
        server.trigger.pull_trigger(server.close)  # in its own thread
        thread.join(10)


def untrained(root: Path, experiment: Experiment, seed: int = 0, samples: Samples | None = None) -> Run:
    """Write the run directory of a finished training whose network has its initial weights."""
    keras.utils.set_random_seed(seed)
    run = Run(root / experiment.run_path)
    run.start(experiment)
    run.write(Card(class_names=tuple("0123456789"), part=experiment.part, name=experiment.name))
    models.build("compact", 28, 10).save(run / "best.keras")
    if samples:
        run.write_samples(samples)
    (run / "result.json").write_text("{}")
    return run
