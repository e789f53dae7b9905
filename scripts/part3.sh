#!/bin/bash
# Part 3 in full, on fresh seeds: both initializations, the same network on true labels, trained as long and with the
# same augmentation, and a larger network; then the plain losses: complementary labels alone, and labels taken as correct.
# Takes options of the training commands; continues where it was interrupted.
set -euo pipefail
true_labels=(--recipe cosine --optimizer adamw --set weight_decay=0.02 --batch-size 256 --epochs 20
    --set augmentation.elastic=0 --set augmentation.stroke=0)
seeds=${SEEDS:-10 11 12 13 14}
for seed in $seeds; do
    midas train-part3 --seed $seed --resume "$@"
    midas train-part2 --model deep "${true_labels[@]}" --name true-labels-deep --seed $seed --resume "$@"
    midas train-part3 --init pretrained --seed $seed --resume "$@"
done
for seed in $seeds; do
    midas train-part3 --model deeper --seed $seed --resume "$@"
done
for seed in $seeds; do
    for init in random pretrained; do
        midas train-part3 --init $init --loss complementary --seed $seed --resume "$@"
        midas train-part3 --init $init --loss cross-entropy --epochs 5 --name $init-cross-entropy-5 --seed $seed \
            --resume "$@"
    done
done
runs=${MIDAS_RUNS_DIR:-checkpoints}
python "$(dirname "$0")/part3_results.py" --runs-dir "$runs"
python "$(dirname "$0")/part3_targets.py" "$runs"/part3/*-progressive*/seed-*
