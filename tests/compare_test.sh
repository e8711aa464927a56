#!/bin/bash
# Comparisons: the product of values and seeds, mean and spread worked out again here, going on after a stop, refusals; and what ends a run early.
source "$(dirname "$0")/program.sh"

short=(--set train.rounds=8 --set eval.every=2 --quiet)
"$LINNET" compare tiny.yaml --vary strategy.kind=fedavg,fedasync --vary train.epochs=1,2 --seeds 2 --out all "${short[@]}" >table.out
for folder in fedavg_1 fedavg_2 fedasync_1 fedasync_2; do
    for seed in 7 8; do
        [[ -s all/$folder/seed-$seed/model.safetensors && -s all/$folder/seed-$seed/report.html ]] || fail "all/$folder/seed-$seed is not whole: $(ls all)"
    done
done
[[ -s all/report.html ]] || fail "no report"
(($(grep -c '±' table.out) == 4)) || fail "the table: $(cat table.out)"
grep -q 'strategy.kind *train.epochs .*at the end' table.out || fail "the table's head: $(head -1 table.out)"

# A run of the comparison is the run by itself.
"$LINNET" run tiny.yaml --set strategy.kind=fedasync --set train.epochs=2 --set seed=8 --out alone "${short[@]}" >/dev/null
same alone all/fedasync_2/seed-8

# Mean and standard deviation, worked out from metrics.jsonl.
python3 - <<'END' || fail "mean or spread is wrong"
import json, statistics
all = json.load(open("all/compare.json"))
assert all["keys"] == ["strategy.kind", "train.epochs"] and all["seeds"] == 2 and len(all["cells"]) == 4
for cell in all["cells"]:
    rows = [[json.loads(line) for line in open(f"all/{cell['folder']}/seed-{seed}/metrics.jsonl")] for seed in (7, 8)]
    assert [run["rows"] for run in cell["runs"]] == rows and [run["dir"] for run in cell["runs"]] == [f"{cell['folder']}/seed-{s}" for s in (7, 8)]
    for at, row in [(0.25, lambda run: next(r for r in run if r["round"] >= 2 - 1e-9)), (0.75, lambda run: next(r for r in run if r["round"] >= 6 - 1e-9)), (1, lambda run: run[-1])]:
        found = cell["end"] if at == 1 else next(c for c in cell["checkpoints"] if c["at"] == at)
        for key in ("accuracy", "loss", "bytes_up", "time_s"):
            values = [row(run)[key] for run in rows]
            assert abs(found[key]["mean"] - statistics.mean(values)) < 1e-9 * max(1, abs(statistics.mean(values))), (cell["label"], at, key)
            assert abs(found[key]["std"] - statistics.stdev(values)) < 1e-6 * max(1, abs(statistics.mean(values))), (cell["label"], at, key)
END
checks=$((checks + 1))

# Going on: finished runs stay as they are, a half-finished and a missing one are made; the end is the same.
cp -r all half
rm -r half/fedasync_1/seed-8 half/compare.json half/report.html
rm half/fedavg_2/seed-7/summary.json
touch -d '2001-01-01' half/fedavg_1/seed-7/model.safetensors
"$LINNET" compare tiny.yaml --vary strategy.kind=fedavg,fedasync --vary train.epochs=1,2 --seeds 2 --out half --resume "${short[@]}" >again.out
same all/fedasync_1/seed-8 half/fedasync_1/seed-8
same all/fedavg_2/seed-7 half/fedavg_2/seed-7
[[ $(stat -c %Y half/fedavg_1/seed-7/model.safetensors) -lt 1000000000 ]] || fail "a finished run was run again"
cmp <(grep ± table.out) <(grep ± again.out) || fail "the table after going on differs"
"$LINNET" report half >/dev/null
"$LINNET" compare tiny.yaml --seeds 2 --out seeds --json "${short[@]}" >seeds.json
python3 -c 'import json; a = json.load(open("seeds.json")); assert len(a["cells"]) == 1 and len(a["cells"][0]["runs"]) == 2' || fail "--json"
"$LINNET" compare tiny.yaml --vary 'strategy={kind: fedprox, mu: 0.1},{kind: fedprox, mu: 1}' --out braces "${short[@]}" >/dev/null
[[ $(ls -d braces/*/ | wc -l) == 2 ]] || fail "values in braces: $(ls braces)"

# The page of many long choices.
many=$(seq -f '{kind: sgd, lr: 0.0%g, momentum: 0.9, weight_decay: 0.0005}' -s , 11 20)
"$LINNET" compare tiny.yaml --vary "train.optimizer=$many" --out many --quiet --set train.rounds=1 >/dev/null
node "$LINNET_SOURCE_DIR/tests/compare_page.js" many/report.html || fail "the page of many long choices"
checks=$((checks + 1))

# Refusals: before the first run, in a sentence.
# A recipe that can be read only once, and a name that is cut inside a character.
long=$(printf 'x%.0s' {1..246})
"$LINNET" compare <(cat tiny.yaml) --vary "data.dir=$long" --vary eval.every=100 --vary train.epochs=1,2 --seeds 2 --out piped --quiet --set train.rounds=1 >/dev/null
python3 -c 'import json; assert len(json.load(open("piped/compare.json"))["cells"]) == 2' || fail "a recipe from a pipe"

refuses 2 'fedavgg.*fedavg' "$LINNET" compare tiny.yaml --vary strategy.kind=fedavg,fedavgg --out never
refuses 2 'train\.epoch.*did you mean.*epochs' "$LINNET" compare tiny.yaml --vary train.epoch=1,2 --out never
refuses 2 'nothing to compare' "$LINNET" compare tiny.yaml --out never
refuses 2 'expected KEY=VALUE' "$LINNET" compare tiny.yaml --vary strategy --out never
refuses 2 'empty value' "$LINNET" compare tiny.yaml --vary train.epochs=1, --out never
refuses 2 'seeds' "$LINNET" compare tiny.yaml --vary seed=1,2 --out never
refuses 2 'all: holds a comparison.*--resume' "$LINNET" compare tiny.yaml --vary train.epochs=1,2 --out all
refuses 1 'data_batch.*linnet data get cifar10' "$LINNET" compare tiny.yaml --vary train.epochs=1,2 --out never --set data.set=cifar10 --set data.dir=nowhere
# What only the last run would refuse, or would not find, too.
refuses 2 'train\.sample: 100 clients' "$LINNET" compare tiny.yaml --vary strategy=fedavg --vary train.sample=2,100 --out never
grep -q '^cannot be run: fedavg · 100$' refusal.err || fail "which run it is: $(cat refusal.err)"
refuses 1 'data_batch.*linnet data get cifar10' "$LINNET" compare tiny.yaml --vary 'data.set={kind: synthetic},cifar10' --set data.dir=nowhere --out never
printf 'client,time_s,available\n3,0.1,0\n' >some.trace
refuses 1 'no\.trace: .*No such file' "$LINNET" compare tiny.yaml --vary fleet.trace=some.trace,no.trace --out never
grep -q '^cannot be run: no\.trace$' refusal.err || fail "which run it is: $(cat refusal.err)"
refuses 2 'fleet\.change: .*one or the other' "$LINNET" compare tiny.yaml --vary 'fleet.change={every_s: 1},{every_s: 1, every_rounds: 1}' --out never
[[ ! -e never ]] || fail "a comparison that never began left its folder behind"
# The folder of a run is none for a comparison, nor the other way round.
refuses 2 'alone: holds a run' "$LINNET" compare tiny.yaml --seeds 2 --out alone
refuses 2 'alone: holds a run' "$LINNET" compare tiny.yaml --seeds 2 --out alone --force
[[ ! -e alone/compare.json ]] || fail "a comparison was written into a run's folder"
refuses 2 'seeds: holds a comparison' "$LINNET" run tiny.yaml --out seeds
refuses 2 'seeds: holds a comparison' "$LINNET" run tiny.yaml --out seeds --force
[[ ! -e seeds/recipe.yaml ]] || fail "a run was written into a comparison's folder"

# ---- what ends a run early ----
ended() { # NAME WHY SETTINGS...
    local name=$1 why=$2
    shift 2
    "$LINNET" run tiny.yaml --out "$name" --quiet "$@" >ended.out
    grep -q "\"ended_by\": \"$why\"" "$name/summary.json" || fail "$name: $(grep ended_by "$name/summary.json"), expected $why"
    if [[ $why == rounds ]]; then
        ! grep -q 'is reached' ended.out || fail "$name: $(cat ended.out)"
    else
        grep -q "rounds (stop\.$why[a-z_]* is reached)" ended.out || fail "$name does not say what ended it: $(cat ended.out)"
    fi
    cp "$name/summary.json" before
    "$LINNET" run tiny.yaml --out "$name" --quiet --resume "$@" >/dev/null
    cmp <(grep -v wall_s before | grep -v parallelism) <(grep -v wall_s "$name/summary.json" | grep -v parallelism) || fail "$name: another end after going on"
    checks=$((checks + 1))
}
value() { sed -nE "s/^ *\"$2\": ([0-9.e+-]+),?$/\1/p" "$1/summary.json"; }
within() { awk -v x="$1" -v low="$2" -v high="$3" 'BEGIN { exit !(x >= low && x <= high) }' || fail "$1 is not in $2 .. $3"; }
long=(--set train.rounds=1000 --set eval.every=1)
ended rounds rounds
ended accuracy accuracy "${long[@]}" --set stop.accuracy=0.85
within "$(value accuracy accuracy)" 0.85 1
within "$(value accuracy round)" 1 200
ended bytes bytes "${long[@]}" --set stop.bytes_mb=0.5
within "$(awk -v a="$(value bytes bytes_up)" -v b="$(value bytes bytes_down)" 'BEGIN { print a + b }')" 500000 520000
ended time time "${long[@]}" --set stop.time_s=0.3
within "$(value time time_s)" 0.3 0.3
ended time-async time "${long[@]}" --set strategy=fedasync --set stop.time_s=0.3 --set 'fleet.devices=[{profile: rpi4, jitter: 0.5}]'
within "$(value time-async time_s)" 0.3 0.3
for threads in 1 3; do
    "$LINNET" run tiny.yaml --out time-$threads --quiet "${long[@]}" --set stop.time_s=0.3 --set fleet.threads=$threads >/dev/null
    same time time-$threads
done
tail -1 time/metrics.jsonl | grep -q '"time_s":0.3,' || fail "no test at the horizon: $(tail -1 time/metrics.jsonl)"
# A comparison with a horizon is read by the clock: shares of the time, the last quarter's tests, the time to an accuracy.
"$LINNET" compare tiny.yaml --vary strategy.kind=fedavg,fedasync --out clocks --quiet "${long[@]}" --set stop.time_s=0.4 --set eval.every=0 --set eval.every_s=0.02 \
    --target 0.3 --target 1 >clocks.out
grep -q 'at 50 % .*last quarter .*time to 30 % .*time to 100 %' clocks.out || fail "the table's head: $(head -1 clocks.out)"
python3 - <<'END' || fail "shares of a horizon, the last quarter or a target are wrong"
import json, statistics
for cell in json.load(open("clocks/compare.json"))["cells"]:
    rows = [json.loads(line) for line in open(f"clocks/{cell['folder']}/seed-7/metrics.jsonl")]
    half = next(c for c in cell["checkpoints"] if c["at"] == 0.5)
    assert half["time_s"]["mean"] == next(r["time_s"] for r in rows if r["time_s"] >= 0.2 - 1e-9)
    assert abs(cell["late"]["accuracy"]["mean"] - statistics.mean(r["accuracy"] for r in rows if r["time_s"] >= 0.3 - 1e-9)) < 1e-12
    first, never = cell["targets"]
    assert first["target"] == 0.3 and first["time_s"]["mean"] == next(r["time_s"] for r in rows if r["accuracy"] >= 0.3)
    assert never["n"] == sum(1 for r in rows[-1:] if max(x["accuracy"] for x in rows) == 1)
END
checks=$((checks + 1))
refuses 2 '--target' "$LINNET" compare tiny.yaml --seeds 2 --target 60 --out never

# Tests by the fleet's clock: at the first version after each 0.1 s, and at the start and the horizon.
ended clock time "${long[@]}" --set stop.time_s=0.35 --set eval.every=0 --set eval.every_s=0.1
awk -F'"time_s":' '{ split($2, at, ","); print int(at[1] / 0.1 + 1e-6) }' clock/metrics.jsonl | cmp - <(printf '0\n1\n2\n3\n3\n') ||
    fail "tests by the clock: $(cut -c1-60 clock/metrics.jsonl)"
refuses 2 'stop\.accuracy.*1\.5' "$LINNET" run tiny.yaml --out never --set stop.accuracy=1.5

# ---- accuracy of each client ----
"$LINNET" run tiny.yaml --out clients --quiet --set eval.per_client=true --set data.partition.alpha=0.1 >/dev/null
"$LINNET" eval clients/model.safetensors --json >classes.json 2>eval.err || fail "eval: $(cat eval.err)"
python3 - <<'END' || fail "the accuracy of clients is not that of its definition"
import json, math, statistics
classes = {c["class"]: c["correct"] / c["samples"] for c in json.load(open("classes.json"))["classes"] if c["samples"]}
counts = json.load(open("clients/shares.json"))["counts"]
of = sorted(sum(n * classes[k] for k, n in enumerate(c) if k in classes) / sum(n for k, n in enumerate(c) if k in classes) for c in counts if sum(c))
found = json.load(open("clients/summary.json"))
worst = of[: max(1, math.ceil(len(of) / 10))]
for key, value in (("client_mean", statistics.mean(of)), ("client_median", statistics.median(of)), ("client_worst10", statistics.mean(worst))):
    assert abs(found[key] - value) < 1e-9, (key, found[key], value)
END
checks=$((checks + 1))
! grep -q client_ rounds/summary.json || fail "accuracy of clients where it was not asked for"
echo "compare: $checks checks"
