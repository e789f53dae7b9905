#!/bin/bash
# Part 3 in full, on fresh seeds: both initializations, compared; the same network on true labels, trained as long and
# with the same augmentation; the same on all 60,000 images; a larger network; then the plain losses: complementary
# labels alone, and labels taken as correct. Takes options of the training commands; continues where it was interrupted.
set -euo pipefail
true_labels=(--recipe cosine --optimizer adamw --set weight_decay=0.02 --batch-size 256 --epochs 20
    --set augmentation.elastic=0 --set augmentation.stroke=0)
runs=${MIDAS_RUNS_DIR:-checkpoints}
midas compare part3 --model deep --epochs 20 --init random --init part1 --first-seed 10 --seeds 5 --resume "$@"
for seed in 10 11 12 13 14; do
    midas train-part2 --model deep "${true_labels[@]}" --name true-labels-deep --seed $seed --resume "$@"
done
for seed in 10 11 12 13 14; do
    for init in random pretrained; do
        midas train-part3 --all-data --init $init --seed $seed --resume "$@"
    done
    midas train-part2 --model deep "${true_labels[@]}" --all-data --name true-labels-deep-all-data --seed $seed \
        --resume "$@"
done
for seed in 10 11 12 13 14; do
    midas train-part3 --model deeper --seed $seed --resume "$@"
done
for seed in 10 11 12 13 14; do
    for init in random pretrained; do
        midas train-part3 --init $init --loss complementary --seed $seed --resume "$@"
        midas train-part3 --init $init --loss cross-entropy --epochs 5 --name $init-cross-entropy-5 --seed $seed \
            --resume "$@"
    done
done
compared=$runs/comparison/deep-20-epochs
python "$(dirname "$0")/part3_results.py" --runs-dir "$compared"
python "$(dirname "$0")/part3_results.py" --runs-dir "$runs"
python "$(dirname "$0")/part3_targets.py" "$compared"/part3/from-*/seed-* "$runs"/part3/*-progressive*/seed-*
