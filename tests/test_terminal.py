"""What the commands look like: on a terminal of 80 columns, in a log, in help, and where they are used wrongly."""

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from fabricate import run

from midas.cli import main, settings
from midas.cli.console import Progress
from midas.errors import MidasError
from midas.experiments import Augmentation
from midas.recipes import PARTS, with_setting
from midas.records import EpochRecord
from midas.report import tables

CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
PROGRESS = """
import time
import click
from midas.cli.console import Progress, warn
from midas.records import EpochRecord
with click.Context(click.Command("x")):
    shown = Progress()
    shown.stage("run 3 of 9")
    for epoch in (1, 2, 3):
        shown.moment(EpochRecord(epoch, loss=0.5, epoch_seconds=20.0), 3, 0.5)
        time.sleep(0.2)
        shown.epoch(EpochRecord(epoch, loss=0.5, val_loss=0.4, val_accuracy=0.9, epoch_seconds=20.0), 3)
        time.sleep(0.2)
    shown.images(5, 10)
    warn("a warning " + 12 * "that is long ")
"""

# `midas run --data-dir sample` with the shortest trainings of two of its parts.
SHORT_STUDY = """
from dataclasses import replace
from midas.cli import main
from midas.recipes import PARTS, for_sample
from midas.studies import study
short = {"model": "baseline", "epochs": 1, "batch_size": 256}
both = replace(PARTS["part2"], **short), replace(PARTS["part3"], **short, loss="complementary")
study.experiments = lambda sample, quick, seed: list(both)
main(["run", "--data-dir", "sample", "--cache-dir", "cache"], prog_name="midas")
"""


def on_a_terminal(*command: str, columns: int = 80, cwd: Path | None = None, **environment: str) -> str:
    """Run a program on a pseudo-terminal, and give what it wrote."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    env = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "LINES", "NO_COLOR")}
    env |= {"TERM": "xterm", **environment}
    streams = dict.fromkeys(("stdin", "stdout", "stderr"), follower)
    process = subprocess.Popen([sys.executable, *command], **streams, env=env, cwd=cwd)
    os.close(follower)
    written = b""
    while True:
        try:
            part = os.read(leader, 4096)
        except OSError:  # the program has ended
            break
        if not part:
            break
        written += part
    process.wait()
    os.close(leader)
    return written.decode()


def lines_of(text: str) -> list[str]:
    return [line.rstrip() for line in re.split(r"[\r\n]+", CONTROL.sub("", text)) if line.strip()]


# ---- tables


def test_a_table_fits_the_width_and_names_the_columns_that_it_leaves_out(tmp_path):
    records = [{"part": "part3", "name": "pretrained-complementary-plain", "seed": 0, "scored": "mnist-test", "n": 450}]
    records[0] |= {"accuracy": 0.5, "accuracy_interval": (0.4, 0.6), "macro_f1": 0.5, "log_loss": 1.0, "sample": True}
    for width in (60, 80, 120):
        table = tables.results_table(records, width)
        assert max(map(len, table.splitlines())) <= width and "50.00" in table and "pretrained" in table
    narrow, wide = tables.results_table(records, 60), tables.results_table(records)
    assert "--wide also shows: " in narrow and "log loss" in narrow.rpartition("--wide")[2]
    assert "log loss" in wide.splitlines()[0] and len(wide.splitlines()) == 2


def test_words_that_are_too_long_are_folded_and_not_cut():
    columns = (tables.Column("name", "name", text=True), tables.Column("n", "n"))
    lines = tables.text_table(columns, [{"name": 50 * "x", "n": 12345}], width=30).splitlines()
    assert sum(line.count("x") for line in lines) == 50 and max(map(len, lines)) <= 30
    assert sum("12345" in line for line in lines) == 1


def test_list_fits_80_columns_on_a_terminal_and_shows_all_with_wide(tmp_path):
    run(tmp_path, "part2", "random-with-a-name-that-is-long", zero_shot_accuracy=0.1)
    run(tmp_path / "sample", "part2", "random", sample=True)
    words = ("-m", "midas", "list", "--runs-dir", str(tmp_path))
    narrow, wide = lines_of(on_a_terminal(*words)), lines_of(on_a_terminal(*words, "--wide"))
    assert max(map(len, narrow)) <= 80 and any("--wide also shows" in line for line in narrow)
    assert max(map(len, wide)) > 80 and "parameters" in wide[0]
    assert sum("part2" in line for line in wide) == 2  # that on the sample, too


@pytest.mark.parametrize(
    "words",
    [
        ("models",),
        ("analyze", "--checkpoint", "{run}"),
        ("train", "sample", "--set", "x=1"),  # a long error
        ("export", "--checkpoint", "missing", "--out", "{run}/x"),
    ],
)
def test_output_fits_80_columns(words, tmp_path):
    made = run(tmp_path, "part2", "random")
    text = on_a_terminal("-m", "midas", *(word.format(run=made.path) for word in words), cwd=tmp_path)
    lines = [line for line in lines_of(text) if not line.startswith(str(tmp_path))]  # paths are not folded
    assert lines and max(map(len, lines)) <= 80


# ---- progress


def test_progress_on_a_terminal_is_a_bar_that_fits_and_goes_away():
    text = on_a_terminal("-c", PROGRESS)
    assert "run 3 of 9, epoch 1 of 3, 0:40 left" in CONTROL.sub("", text)
    assert "run 3 of 9, epoch 2 of 3, 0:30 left  loss 0.500" in CONTROL.sub("", text)  # within the epoch
    shown = lines_of(text)
    assert max(map(len, shown)) <= 80 and any(line.startswith("run 3 of 9, epoch 3 of 3, done") for line in shown)
    assert " ".join(shown).endswith("that is long") and "━" in text


def test_progress_of_several_processes_fits_80_columns():
    names = [f"pretrained-complementary/seed-{seed} 12/25" for seed in range(4)]
    code = f"""
import click, time
from midas.cli.console import Progress
with click.Context(click.Command("x")):
    shown = Progress()
    for running in ({names}, {names[:1]}):
        shown.jobs("12:05 left", running, 3, 11)
        time.sleep(0.2)
"""
    shown = lines_of(on_a_terminal("-c", code))
    assert max(map(len, shown)) <= 80 and "…" not in "".join(shown)
    assert any(f"3 of 11 done  12:05 left  {names[0]}, 3 more" in line for line in shown)


@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_no_color_and_dumb_terminals_are_heeded(environment):
    text = on_a_terminal("-c", PROGRESS, **environment)
    colors = re.findall(r"\x1b\[[0-9;]*m", text)
    assert not [color for color in colors if re.search(r"[34]\d", color)]
    if "TERM" in environment:
        assert "\x1b" not in text and "epoch 2 of 3, 0:20 left" in text


def test_a_log_has_one_line_per_epoch_and_no_control_characters(capsys):
    with click.Context(click.Command("x")):
        shown = Progress()
        shown.stage("fold 2 of 5")
        for epoch in range(1, 26):
            shown.moment(EpochRecord(epoch, loss=0.5, epoch_seconds=3.0), 25, 0.5)
            shown.epoch(EpochRecord(epoch, loss=0.5, epoch_seconds=3.0), 25)
        for done in range(1, 1000):
            shown.images(done, 1000)
        shown.images(1000, 1000)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 26 and lines[-1] == "read 1,000 of 1,000 images"
    assert lines[11] == "fold 2 of 5, epoch 12 of 25, 0:39 left  loss 0.500"
    assert all(line.isprintable() for line in lines)


def test_a_study_fits_80_columns_from_the_first_line_to_the_page(tmp_path):
    study = "-c", SHORT_STUDY
    shown = lines_of(on_a_terminal(*study, cwd=tmp_path))
    text = "\n".join(shown)
    assert max(map(len, shown)) <= 80
    for each in ("━ read ", "run 2 of 2, epoch 1 of 1, done", "--wide also shows", "━ drew 1 of 2 runs", "Part 3: "):
        assert each in text
    assert shown[-2] == "Report: checkpoints/sample/report.html" and "report.html" in shown[-1]
    again = subprocess.run([sys.executable, *study], capture_output=True, text=True, cwd=tmp_path)
    assert again.returncode == 0 and again.stderr.count("already finished") == 2
    assert all(line.isprintable() for line in (again.stdout + again.stderr).splitlines())


# ---- help and completion


def test_help_of_a_command():
    runner = CliRunner()
    assert runner.invoke(main, ["help", "predict"]).stdout == runner.invoke(main, ["predict", "--help"]).stdout
    assert runner.invoke(main, ["predict", "--help"]).stdout.startswith("Example: midas predict drawing.png\n")
    assert "Use:" in runner.invoke(main, ["help"]).stdout
    assert runner.invoke(main, ["help", "nonsense"]).exit_code == 2


def test_no_summary_is_cut_at_80_columns():
    text = CliRunner().invoke(main, ["--help"], terminal_width=80).stdout
    listed = dict(re.findall(r"^  ([a-z][a-z0-9-]+)  +(\S.*)$", text, re.MULTILINE))
    assert set(listed) == set(main.commands) and all(summary.endswith(".") for summary in listed.values())
    assert "..." not in "".join(listed.values())


@pytest.mark.parametrize("name", sorted(main.commands))
def test_help_fits_80_columns(name):
    result = CliRunner().invoke(main, ["help", name], terminal_width=80)
    assert result.exit_code == 0 and max(map(len, result.stdout.splitlines())) <= 80


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(shell):
    command = [sys.executable, "-c", "from midas.cli import main; main(prog_name='midas')"]
    env = {**os.environ, "_MIDAS_COMPLETE": f"{shell}_source"}
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    if shell == "bash" and "not supported" in done.stderr + done.stdout:
        pytest.skip("this bash is too old")
    assert "_MIDAS_COMPLETE" in done.stdout and f"{shell}_complete" in done.stdout
    words = {"COMP_WORDS": "midas pre", "COMP_CWORD": "pre" if shell == "fish" else "1"}
    env = {**os.environ, "_MIDAS_COMPLETE": f"{shell}_complete", **words}
    found = subprocess.run(command, env=env, capture_output=True, text=True).stdout
    assert "predict" in found and "preprocess" in found and "evaluate" not in found


# ---- usage


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["predict", "x.png", "--json", "--csv"], 2, "exclude each other"),
        (["predict", "missing.png"], 1, "missing.png"),
        (["evaluate", "--data", "missing"], 1, "missing"),
        (["train-part1", "--data-dir", "sample", "--config", "missing.json"], 1, "missing.json"),
        (["train-part1", "--data-dir", "sample", "--set", "elastic=0"], 2, "did you mean augmentation.elastic=0?"),
        (["train-part1", "--data-dir", "sample", "--set", "nonsense=1"], 2, "no such setting"),
        (["report", "missing"], 1, "no such run"),
        (["analyze", "--checkpoint", "missing"], 1, "missing: no such checkpoint"),
        (["evaluate", "--data", "sample", "--class-names", "missing"], 1, "missing: "),
        (["compare", "part2", "--data-dir", "missing"], 1, "Error: missing/mnist: no such data set"),
        (["train-part1", "--epochs", "0"], 2, "--epochs"),
    ],
)
def test_wrong_usage_is_2_and_missing_input_1(words, status, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, words)
    assert result.exit_code == status and said in result.stderr.replace("\n", " "), result.output


def test_a_config_may_have_some_of_the_settings(tmp_path):
    some = {"epochs": 7, "augmentation": {"elastic": 0.0}}
    found = settings._read_config(PARTS["part1"], "mine.json", some)
    assert found == with_setting(
        PARTS["part1"].from_json({**PARTS["part1"].to_json(), "epochs": 7}), "augmentation.elastic=0.0"
    )
    assert found.augmentation.rotation == Augmentation().rotation
    assert settings._read_config(PARTS["part1"], "mine.json", {"augmentation": None}).augmentation is None
    for wrong, said in (({"epoch": 7}, "epoch is unknown"), ({"epochs": "many"}, "epochs cannot be 'many'")):
        with pytest.raises(MidasError, match=said) as caught:
            settings._read_config(PARTS["part1"], "mine.json", wrong)
        assert str(caught.value).startswith("mine.json: ")
    file = tmp_path / "mine.json"
    file.write_text(json.dumps({"nonsense": 1}))
    result = CliRunner().invoke(main, ["train-part1", "--data-dir", "sample", "--config", str(file)])
    assert result.exit_code == 1 and "mine.json: " in result.stderr and "nonsense is unknown" in result.stderr
