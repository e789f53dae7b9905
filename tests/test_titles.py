"""Plain names: of every experiment of the study, and of those that users name themselves."""

from dataclasses import replace

from midas.recipes import INITIALIZATIONS, PARTS
from midas.report.titles import data_title, part_title, run_title, scored_title
from midas.studies.study import experiments


def test_every_run_of_the_study_has_a_plain_name_without_the_words_of_the_program():
    names = [run_title(each) for each in experiments(sample=True, quick=True, seed=0)]
    assert len(set(names)) == len(names) == 11
    assert "labels taken as correct, pretrained on Part 1" in names
    assert not any("cross-entropy" in name or "-" in name for name in names)


def test_names_that_users_gave_are_added():
    assert run_title(replace(PARTS["part2"], name="mine")) == "random weights (mine)"
    assert run_title(replace(PARTS["custom"], name="letters")) == "letters"
    other = {**INITIALIZATIONS["digits"], "init_checkpoint": "a/b"}
    assert run_title(replace(PARTS["part2"], **other, name="x")) == "pretrained (a/b) (x)"


def test_the_sample_is_not_called_mnist():
    for name in ("mnist", "part3", "part1"):
        assert "MNIST" not in data_title(name, sample=True)
    assert "MNIST" not in part_title("part2", sample=True) + scored_title("mnist-test", sample=True)
    assert "MNIST" in data_title("mnist") and data_title("my/data") == "my/data"
