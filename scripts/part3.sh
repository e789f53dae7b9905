#!/bin/bash
# Part 3 in full: three seeds, both initializations, the labels taken as correct and as complementary; then one network
# of the best recipe, and both networks on true labels for comparison, with the same augmentation; at last the ensembles
# of the best recipe, for which a fourth seed is trained. Takes options of the training commands.
set -euo pipefail
deep=(--model deep --batch-size 256 --learning-rate 0.004 --epochs 14 --set patience=2 --set stop_patience=null)
for seed in 0 1 2; do
    midas train-part1 --model deep --seed $seed --resume
    for init in random pretrained; do
        midas train-part3 --init $init --loss cross-entropy --epochs 5 --name $init-cross-entropy-5 --seed $seed \
            --resume "$@"
        midas train-part3 --init $init --seed $seed --resume "$@"
    done
    midas train-part3 --recipe best --ensemble 1 --seed $seed --resume "$@"
    midas train-part2 --recipe best --seed $seed --resume "$@"
    midas train-part2 "${deep[@]}" --set augmentation.elastic=0 --set augmentation.stroke=0 \
        --name true-labels-deep --seed $seed --resume "$@"
done
for seed in 0 1 2; do
    midas train-part3 --recipe best --seed $seed --resume "$@"
done
for seed in 0 1; do
    midas train-part2 --recipe best --ensemble 2 --seed $seed --resume "$@"
done
python "$(dirname "$0")/part3_results.py" --runs-dir "${MIDAS_RUNS_DIR:-checkpoints}"
