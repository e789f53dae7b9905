#!/bin/bash
# Part 3 in full: three seeds, both starts, the folders taken for classes and for what images are not; then the best
# recipe, and the same network trained on true labels beside it. Takes options of the training commands.
set -euo pipefail
for seed in 0 1 2; do
    midas train-part1 --model deep --seed $seed --resume
    for init in random pretrained; do
        midas train-part3 --init $init --loss given --epochs 5 --name $init-given-5 --seed $seed --resume "$@"
        midas train-part3 --init $init --seed $seed --resume "$@"
    done
    midas train-part3 --recipe best --seed $seed --resume "$@"
    midas train-part2 --recipe best --seed $seed --resume "$@"
done
python "$(dirname "$0")/part3_results.py" --runs-dir "${MIDAS_RUNS_DIR:-checkpoints}"
