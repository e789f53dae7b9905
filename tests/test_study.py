from midas.studies import study


def test_the_study_does_what_another_needs_first():
    names = [(e.part, e.name) for e in study.experiments(sample=False, quick=False, seed=0)]
    assert names == [
        ("part1", "compact"),
        ("part1", "deep"),
        ("part2", "digits"),
        ("part2", "random"),
        ("part2", "pretrained"),
        ("part3", "random-cross-entropy"),
        ("part3", "random-complementary"),
        ("part3", "random-progressive"),
        ("part3", "pretrained-cross-entropy"),
        ("part3", "pretrained-complementary"),
        ("part3", "pretrained-progressive"),
    ]


def test_part3_never_names_true_labels():
    for experiment in study.experiments(sample=False, quick=False, seed=0):
        if experiment.part == "part3":
            assert experiment.data == "part3" and experiment.test == "mnist-test"
