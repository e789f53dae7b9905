"""Predictions on a terminal: columns that line up, and names that fit."""

from midas.predictions import Alternative, Prediction
from midas.report.prediction_tables import PredictionTable


def test_predictions_have_a_header_and_names_of_any_length():
    others = (Alternative("omega", 0.02), Alternative("O", 0.004))
    long = Prediction("epsilon", 0.976, others, "a/very/long/path/" * 8 + "drawing.png")
    for width in (80, None):
        table = PredictionTable(7, width)
        head, line = table.header, table.line(long)
        assert head.split() == ["label", "prob.", "next", "guesses", "file"]
        assert line.startswith("epsilon   97.6 %  omega     2.0 %  O         0.4 %") and line.endswith("drawing.png")
        assert head.index("file") == line.index(line.split("%")[-1].strip())
        assert (len(line) <= 80) == bool(width)
    assert PredictionTable(1, 80).line(Prediction("A", 1.0, (), "a.png")).endswith("a.png")
