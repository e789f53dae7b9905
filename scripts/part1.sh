#!/bin/sh
# Part 1: train on the 62 classes, then draw the confusion matrix and the worst mistakes.
set -e
midas train-part1 --resume "$@"
midas analyze --checkpoint "${MIDAS_RUNS_DIR:-checkpoints}"/part1/compact/seed-0
