#!/bin/bash
# Part 1: train on the 62 classes, then draw the confusion matrix and the worst errors. Takes the options of
# midas train-part1, except --ensemble.
set -euo pipefail
run=$(midas train-part1 --resume "$@" | tee /dev/stderr | tail -n 1)
midas analyze --checkpoint "$run"
