#!/bin/bash
# Part 1: train on the 62 classes, then draw the confusion matrix and the worst errors. Takes the options of
# midas train-part1, except --ensemble.
set -euo pipefail
run=$(midas train-part1 --resume --json "$@" | python -c 'import json, sys; print(json.load(sys.stdin)["path"])')
midas analyze --checkpoint "$run"
