#!/bin/bash
# Part 2: the same training on MNIST from random weights and from those of the digits of Part 1. Takes the options of
# midas train-part2, except --ensemble.
set -euo pipefail
for init in random pretrained; do
    run=$(midas train-part2 --init $init --resume --json "$@" | python -c 'import json, sys; print(json.load(sys.stdin)["path"])')
    midas analyze --checkpoint "$run"
done
