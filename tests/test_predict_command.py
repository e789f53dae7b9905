"""`midas predict` on pages, on drawings of one hand, with chosen classes and unsure answers."""

import csv
import io
import json

import click
import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from writing import write_line, write_page

from midas.cli import main
from midas.cli.console import emit_list
from midas.cli.settings import choose_classes
from midas.data.sample import draw
from midas.files import to_json

TEXT = "Tex 27\nWR 3"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder of a page, two words, and drawings."""
    folder = tmp_path_factory.mktemp("pictures")
    pictures = {"page": write_page(TEXT), "word": write_line("AB"), "W": draw("W", 3), "dash": np.full((90, 120), 255)}
    pictures["dash"][44:48, 30:90] = 0
    for name, picture in pictures.items():
        cv2.imwrite(str(folder / f"{name}.png"), picture)
    return folder


def predict(*words, status=0):
    result = CliRunner().invoke(main, ["predict", *map(str, words)])
    assert result.exit_code == status, result.output
    return result


def answers(*words, status=0):
    return json.loads(predict(*words, "--json", status=status).stdout)["predictions"]


def test_lines_are_read_as_text_table_csv_and_json(folder):
    page = folder / "page.png"
    assert predict("--lines", page).stdout.lower().split() == TEXT.lower().split()
    (found,) = answers("--lines", page)
    assert found["file"] == str(page) and found["text"].lower() == TEXT.lower()
    assert [each["line"] for each in found["characters"]] == [1] * 5 + [2] * 3
    first, second = (each["box"] for each in found["characters"][:2])
    assert 0 < first[0] < first[2] < second[2] and first[1] < first[3]
    assert all(len(each["alternatives"]) == 2 for each in found["characters"])
    rows = list(csv.DictReader(io.StringIO(predict("--lines", page, "--csv").stdout)))
    assert [row["label"] for row in rows] == [each["label"] for each in found["characters"]]
    assert [int(rows[1][side]) for side in ("left", "top", "right", "bottom")] == second
    table = predict("--lines", page, "--table").stdout.splitlines()
    assert len(table) == 9 and table[0].split()[:2] == ["line", "label"]


@pytest.mark.parametrize("values", [[], [{"file": "é\n", "alternatives": []}, {"alternatives": [{"label": "c"}]}]])
@pytest.mark.parametrize("others", [{"skipped": []}, {"skipped": [{"file": "x"}]}])
def test_json_that_is_printed_value_by_value_is_that_of_the_whole(values, others, capsys):
    printed = []

    def one_by_one():
        for value in values:
            yield value
            printed.append(capsys.readouterr().out)

    with click.Context(main):
        emit_list("predictions", one_by_one(), lambda: others)
    assert len(printed) == len(values) and all(printed)
    assert "".join(printed) + capsys.readouterr().out == to_json({"predictions": values, **others}) + "\n"


def test_an_overlay_is_written_for_each_page(folder, tmp_path):
    pages = folder / "page.png", folder / "word.png"
    shown = predict("--lines", *pages, "--strict", "--overlay", tmp_path / "over.png").stdout
    assert all(f"{page}:" in shown.splitlines() for page in pages)
    for written, page in (("over.png", "page.png"), ("over-2.png", "word.png")):
        overlay, gray = cv2.imread(str(tmp_path / written)), cv2.imread(str(folder / page), 0)
        assert overlay.shape[:2] == gray.shape and np.ptp(overlay.astype(int), axis=2).max() > 100


def test_a_page_that_cannot_be_read_does_not_lose_the_others(folder, tmp_path):
    cv2.imwrite(str(tmp_path / "empty.png"), np.full((90, 120), 255, np.uint8))
    result = predict("--lines", tmp_path / "empty.png", folder / "word.png", status=1)
    assert result.stdout.strip().lower() == "ab" and "empty.png: blank" in result.stderr


def test_several_characters_are_noticed(folder):
    result = predict(folder / "word.png", folder / "W.png")
    assert "word.png: " in result.stderr and "--lines" in result.stderr and "W.png" not in result.stderr
    word, letter = answers(folder / "word.png", folder / "W.png")
    assert word["several"] and not letter["several"]


def test_classes_are_names_ranges_lists_or_a_file(folder, tmp_path):
    (tmp_path / "allowed.txt").write_text("0-9\nA,b\n")
    for classes, allowed in (("0-9", "0123456789"), ("A,Q-S", "AQRS"), (tmp_path / "allowed.txt", "0123456789Ab")):
        (found,) = answers(folder / "W.png", "--classes", classes)
        assert {found["label"], *(each["label"] for each in found["alternatives"])} <= set(allowed)
    for wrong, reason in (("ß", "not a class"), ("9-0", "comes before"), (",", "names no class")):
        assert reason in predict(folder / "W.png", "--classes", wrong, status=1).stderr
    (folder / "binary.txt").write_bytes(b"W\xff")
    assert "not text in UTF-8" in predict(folder / "W.png", "--classes", folder / "binary.txt", status=1).stderr


def test_a_list_of_classes_may_be_longer_than_a_file_name():
    assert choose_classes(",".join("012" * 200), "0123") == ["0", "1", "2"]


def test_unsure_answers(folder):
    (sure,) = answers(folder / "W.png", "--reject")
    (unsure,) = answers(folder / "W.png", "--reject-below", 1)
    assert sure["label"] == unsure["alternatives"][0]["label"] == "W" and unsure["label"] == "unsure"
    header, row = csv.reader(io.StringIO(predict(folder / "W.png", "--reject-below", 1, "--csv").stdout))
    assert len(header) == len(row) and row[1] == "unsure" and row[3] == "W"
    assert predict("--lines", folder / "page.png", "--reject-below", 1).stdout.split() == ["???", "??", "??", "?"]
    assert "give a probability" in predict("--checkpoint", "part2-best", folder / "W.png", "--reject", status=1).stderr


def test_the_same_hand_reads_case_by_size(tmp_path):
    for character in "0123456789xXsScCvVwW":  # in the hand of one person
        cv2.imwrite(str(tmp_path / f"{ord(character)}.png"), draw(character, 17))
    alone, together = answers(tmp_path), answers(tmp_path, "--same-hand")
    truth = [chr(int(each["file"].rpartition("/")[2][:-4])) for each in alone]
    right = [sum(a["label"] == b for a, b in zip(found, truth, strict=True)) for found in (alone, together)]
    assert right[1] >= right[0] and right[1] >= 14
    assert [a["probability"] for a in alone] != [a["probability"] for a in together]


def test_where_sizes_are_unknown_the_same_hand_changes_nothing_and_says_so(folder):
    assert "changes nothing" in predict("--same-hand", folder / "dash.png").stderr


@pytest.mark.parametrize(
    "words", [["--overlay", "x.png"], ["--table"], ["--json", "--csv"], ["--lines", "--table", "--csv"]]
)
def test_options_that_do_not_fit_together_are_wrong_usage(folder, words):
    predict(folder / "word.png", *words, status=2)


def test_a_table_has_no_heading_above_an_error_alone(folder):
    assert predict("nowhere.png", status=1).stdout == ""
    assert predict("nowhere.png", folder / "W.png", status=1).stdout.startswith("label")
