#!/bin/bash
# Runs in bfloat16: other bits than float's, the same for any threads; the record names the set and holds a resumed run to it; no sparsity.
source "$(dirname "$0")/program.sh"

run() { "$LINNET" run "$@" --quiet; }

conv=(--set model.name=resnet9 --set 'data.augment=[crop, flip]' --set 'codec.up=f16' --set train.rounds=2 --set eval.every=1
    --set 'data.set={kind: synthetic, channels: 3, height: 16, width: 16, train: 96, test: 40}')
run tiny.yaml --out float "${conv[@]}" --set fleet.threads=3 >/dev/null
run tiny.yaml --out bf16-1 "${conv[@]}" --set train.compute=bf16 --set fleet.threads=1 >/dev/null
run tiny.yaml --out bf16-3 "${conv[@]}" --set train.compute=bf16 --set fleet.threads=3 >/dev/null
same bf16-1 bf16-3
cmp -s float/model.safetensors bf16-1/model.safetensors && fail "bf16 gave the model of float"
grep -q '^# linnet .*, kernels [a-z0-9]*-bf16' bf16-1/recipe.yaml || fail "the set is not in the record: $(head -1 bf16-1/recipe.yaml)"
grep -q 'compute: bf16' bf16-1/recipe.yaml || fail "train.compute is not in the resolved recipe"
cp bf16-1/model.safetensors before
run bf16-1/recipe.yaml --out bf16-1 --resume >/dev/null
cmp before bf16-1/model.safetensors || fail "resuming a finished run in bfloat16 changed it"
run tiny.yaml --out sparse "${conv[@]}" --set train.compute=bf16 --set sparsity=swat 2>err && fail "sparse kernels took bfloat16"
grep -q 'train.compute must be f32' err || fail "sparsity and bfloat16: $(cat err)"
"$LINNET" bench steps logreg --set train.compute=bf16 --batch 10 --seconds 1 --json --quiet >steps.json
grep -q -- '-bf16' steps.json || fail "bench steps: $(cat steps.json)"
"$LINNET" bench steps logreg --set train.batch=3 2>err && fail "bench steps took train.batch"
echo "bfloat16: $checks comparisons"
