#!/bin/bash
# Whole runs: every file of the run's folder, the same bits for one, two and three threads, every strategy that needs no options.
source "$(dirname "$0")/program.sh"

run() { "$LINNET" run "$@" --quiet; }

run tiny.yaml --out one --set fleet.threads=1 >one.out
for file in recipe.yaml metrics.jsonl model.safetensors summary.json shares.json report.html; do
    [[ -s one/$file ]] || fail "one/$file is absent or empty"
done
grep -q 'accuracy .* one/report.html' one.out || fail "no final line: $(cat one.out)"
[[ $(grep -c '"round"' one/metrics.jsonl) -ge 3 ]] || fail "fewer than three evaluations"
grep -q '"accuracy"' one/summary.json || fail "summary.json holds no accuracy"
for threads in 2 3; do
    run tiny.yaml --out "one-$threads" --set fleet.threads=$threads >/dev/null
    same one "one-$threads"
done
for strategy in fedprox fedadam fedasync; do
    run tiny.yaml --out $strategy-1 --set strategy=$strategy --set fleet.threads=1 >/dev/null
    run tiny.yaml --out $strategy-3 --set strategy=$strategy --set fleet.threads=3 >/dev/null
    same $strategy-1 $strategy-3
    cmp -s one/model.safetensors $strategy-1/model.safetensors && fail "$strategy gave the model of fedavg"
done

# A convolutional model with everything on, and half-precision messages.
conv=(--set 'model.name=cnn5x5' --set 'data.augment=[crop, flip]' --set 'codec.up=f16' --set train.rounds=2 --set eval.every=1
    --set 'data.set={kind: synthetic, channels: 3, height: 16, width: 16, train: 96, test: 40}')
run tiny.yaml --out conv-1 "${conv[@]}" --set fleet.threads=1 >/dev/null
run tiny.yaml --out conv-3 "${conv[@]}" --set fleet.threads=3 >/dev/null
same conv-1 conv-3

# The table is thinned and says so; JSON has every test, also with --quiet.
"$LINNET" run tiny.yaml --out many --set train.rounds=40 --set eval.every=1 >many.out 2>/dev/null
grep -q '^24 of 41 tests; all are in many/metrics\.jsonl$' many.out || fail "a thinned table: $(cat many.out)"
[[ $(grep -c '^ *[0-9]* *[0-9.]* %' many.out) == 24 ]] || fail "a thinned table: $(cat many.out)"
run tiny.yaml --out many --resume --set train.rounds=40 --set eval.every=1 --json >many.json
python3 -c 'import json; assert [row["round"] for row in json.load(open("many.json"))] == list(range(41))' || fail "--json --quiet: $(head -5 many.json)"

# A loss that is no number is none, not 0.
python3 -c 'import re, sys; sys.stdout.write(re.sub(r"(\"loss\":)([^,]*)", lambda found: found[1] + "null".ljust(len(found[2])), open("many/metrics.jsonl").read()))' >lost
cp lost many/metrics.jsonl
"$LINNET" run tiny.yaml --out many --resume --set train.rounds=40 --set eval.every=1 >many.out 2>/dev/null
[[ $(grep -c '^ *[0-9]* *[0-9.]* % *- ' many.out) == 24 ]] || fail "a loss that is no number: $(cat many.out)"
run tiny.yaml --out many --resume --set train.rounds=40 --set eval.every=1 --json >many.json
[[ $(grep -c '"loss": null' many.json) == 41 ]] || fail "a loss that is no number, --json: $(head -5 many.json)"

# What is told of no client names none.
run tiny.yaml --out ecofl --set strategy=ecofl >/dev/null
python3 - <<'END' || fail "clients in trace.jsonl"
import json
rows = [json.loads(line) for line in open("ecofl/trace.jsonl")]
assert any(row["what"] == "grouped" for row in rows)
assert all(("client" in row) == (row["what"] != "grouped") and row.get("client", 0) < 1000 for row in rows)
END

# The resolved recipe gives the same run again; a finished run resumes to itself; another seed differs.
run one/recipe.yaml --out again >/dev/null
same one again
cp one/model.safetensors before
mkdir one/shares.json.new # what a kill once left is not in the way
run tiny.yaml --out one --resume >/dev/null
python3 -m json.tool one/shares.json >/dev/null || fail "shares.json is no JSON"
cmp before one/model.safetensors || fail "resuming a finished run changed it"
run tiny.yaml --out other --set seed=8 >/dev/null
cmp -s one/model.safetensors other/model.safetensors && fail "another seed gave the same model"
"$LINNET" report one >/dev/null
"$LINNET" data show tiny.yaml >show.out
grep -q 8 show.out || fail "data show: $(cat show.out)"
echo "federation: $checks comparisons"
