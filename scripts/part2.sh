#!/bin/sh
# Part 2: the same training on MNIST from random weights and from the digits of Part 1.
set -e
for init in random pretrained; do
    midas train-part2 --init $init --resume "$@"
    midas analyze --checkpoint "${MIDAS_RUNS_DIR:-checkpoints}"/part2/$init/seed-0
done
