"""Charts: what is labeled, marked and left out."""

import dataclasses

import numpy as np
from fabricate import LETTERS, compared, cross_validation, epochs, predictions

from midas.metrics import classification
from midas.report import plots


def texts(figure) -> list[str]:
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def test_a_reliability_diagram_shows_accuracy_and_counts():
    made = predictions(LETTERS[:10], n=200)
    bins = classification.reliability(made.probabilities, made.labels)
    curve, counts = plots.reliability(bins, 0.1234).axes
    assert curve.get_title() == "expected calibration error 12.34 %" and counts.get_xlabel() == "confidence, %"
    drawn = curve.containers[0].lines[0]
    np.testing.assert_allclose(drawn.get_ydata(), [100 * one.accuracy for one in bins])
    assert [bar.get_height() for bar in counts.patches] == [one.n for one in bins]


def test_maps_name_the_classes():
    labels = np.arange(20) % 2
    points = np.random.default_rng(0).normal(size=(20, 2))
    assert texts(plots.class_map("a title", points, labels, ["x", "y"])) == ["x", "y"]
    assert len(texts(plots.class_map("a title", points, labels, LETTERS))) == 20


def test_dots_show_proportions_with_intervals_and_marks():
    rows = [plots.Dot("_a$b$", 0.5, (0.4, 0.6)), plots.Dot("other", 0.0, (0.0, 0.1), is_first=False)]
    figure = plots.dots(rows, {"chance": 0.1, "true labels": 0.99})
    (axes,) = figure.axes
    assert texts(figure) == ["_a$b$: 50.0 %", "other: 0.0 %"] and axes.get_xlim() == (-2, 102)
    np.testing.assert_allclose(axes.lines[0].get_xdata(), [40, 60])
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["chance, 10 %", "true labels, 99 %"]
    assert not plots.dots(rows, {}).legends


def test_learning_curves_mark_the_lowest_loss_and_the_reduced_learning_rate():
    records = epochs(6)
    records[3] = dataclasses.replace(records[3], val_loss=0.01)
    labels = plots.learning_curves(records).axes[0].get_legend_handles_labels()[1]
    assert labels == ["training", "validation", "lowest validation loss, epoch 4", "learning rate reduced"]
    labels = plots.learning_curves(epochs(1, validation=False)).axes[0].get_legend_handles_labels()[1]
    assert labels == ["training"]
    diverged = dataclasses.replace(records[0], val_loss=None, val_accuracy=None)
    assert plots.learning_curves([diverged]).axes


def test_a_smooth_schedule_is_not_marked():
    smooth = [dataclasses.replace(each, learning_rate=1 / each.epoch) for each in epochs(6)]
    labels = plots.learning_curves(smooth).axes[0].get_legend_handles_labels()[1]
    assert labels == ["training", "validation", "lowest validation loss, epoch 6"]


def curves(*trainings, **options):
    found = [plots.curves_of_runs(name, runs) for name, runs in trainings]
    return plots.compare_curves([each for each in found if each], **options)


def test_curves_have_bands_and_names_and_those_of_complementary_labels_are_called_estimates():
    trainings = ("_a$b$", [epochs(), epochs(3)]), ("c", [epochs(validation=False)])
    figure = curves(*trainings)
    (by_epoch,) = figure.axes
    assert (by_epoch.get_ylabel(), by_epoch.get_yscale()) == ("validation error", "log")
    assert (by_epoch.get_xlabel(), len(by_epoch.lines), len(by_epoch.collections)) == ("epochs of training", 1, 1)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["_a$b$"]
    (by_time,) = curves(*trainings, across="seconds").axes
    assert by_time.get_xlabel() == "seconds of training"
    np.testing.assert_allclose(by_time.lines[0].get_xdata(), [1.5, 3, 4.5, 6, 7.5])
    with_steps = [dataclasses.replace(each, steps=10 * each.epoch) for each in epochs()]
    (by_step,) = curves(("a", [with_steps])).axes
    assert by_step.get_xlabel() == "steps of training" and by_step.lines[0].get_xdata()[-1] == 50
    (estimated,) = curves(*trainings, complementary=True).axes
    assert estimated.get_ylabel() == "validation accuracy, estimated"
    assert "no curves" in texts(curves(("c", [epochs(validation=False)])))[0]


def test_seconds_go_on_where_a_slower_seed_has_stopped_early():
    slow = [dataclasses.replace(each, epoch_seconds=4.5) for each in epochs(3)]
    np.testing.assert_allclose(plots.curves_of_runs("a", [epochs(), slow]).seconds, [3, 6, 9, 10.5, 12])


def test_errors_of_zero_or_nearly_equal_ones_are_drawn_on_a_linear_scale():
    perfect = [dataclasses.replace(each, val_accuracy=1.0) for each in epochs()]
    assert curves(("perfect", [perfect])).axes[0].get_yscale() == "linear"
    similar = [dataclasses.replace(each, val_accuracy=0.98 + 0.001 * each.epoch) for each in epochs()]
    assert curves(("similar", [similar])).axes[0].get_yscale() == "linear"


def test_initializations_are_drawn_by_steps_and_seconds():
    comparison = compared()
    figure = plots.compare_initializations(comparison.initializations)
    by_step, by_time = figure.axes
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["random", "digits"]
    assert by_step.get_xscale() == "symlog" and by_time.get_xlabel().startswith("seconds")
    np.testing.assert_array_equal(by_step.lines[0].get_xdata(), [0, 1, 3, 10, 20, 30])
    (axes,) = plots.label_efficiency(comparison.label_efficiency).axes
    assert axes.get_xlabel() == "training images per class" and [*axes.lines[0].get_ydata()] == [50]


def test_accuracy_is_drawn_against_both_costs():
    figure = plots.accuracy_against_cost([cross_validation(), cross_validation("deep", interval=None)])
    assert [axes.get_xlabel() for axes in figure.axes] == ["million MACs per image", "seconds of training"]
    assert texts(figure) == ["compact", "deep"] * 2


def test_a_message_stands_in_for_a_figure():
    assert texts(plots.message("Nothing to show.")) == ["Nothing to show."]
