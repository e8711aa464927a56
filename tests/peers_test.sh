#!/bin/bash
# Linnet and PyTorch side by side (bench/peers): pairs, ratios and the table worked out again, going on, and answers that are none; without PyTorch, by a
# program in its place.
source "$(dirname "$0")/program.sh"
peers=$LINNET_SOURCE_DIR/bench/peers/run

# step.py's answer for a machine on which channels_last is faster; each Linnet is slower than the one before.
cat >python <<'END'
#!/bin/bash
[[ $1 == bench/peers/step.py && -f $1 && $5 == --seconds ]] || exit 3
rate=40
[[ $* == *--channels-last* ]] && rate=50
echo "a line of something else"
echo "{\"torch\": \"0\", \"model\": \"$2\", \"batch\": $3, \"threads\": $4, \"parameters\": 1000, \"images_s\": $rate, \"memory\": 80e6, \"processor_had\": 1}"
END
cat >linnet <<'END'
#!/bin/bash
[[ "$1 $2 ${*: -1}" == "bench steps --json" ]] || exit 3
count=$(cat "$0.count" 2>/dev/null || echo 0)
echo $((count + 1)) >"$0.count"
echo "$*" >"$0.last"
printf '[\n{"model": "%s",\n "parameters": 1000, "images_s": %s, "GFLOP_s": 7.5, "share_of_peak": 0.25, "memory": 40e6, "processor_had": %s}\n]\n' "$3" $((100 - 10 * count)) ${HAD:-1}
END
chmod +x python linnet
pairs=(--python "env ANY=1 $PWD/python" --linnet "$PWD/linnet" --models cnn5x5 --batches 10 --threads 1)

"$peers" --out pairs.jsonl "${pairs[@]}" --pairs 2 >said.out
grep -q 'pair 1: Linnet 100.0, PyTorch 50.0 images/s (channels_last), 2.00 times; peak 40 MB, PyTorch 80 MB' said.out || fail "pair 1: $(cat said.out)"
"$peers" --out pairs.jsonl "${pairs[@]}" --pairs 3 >again.out
[[ $(wc -l <again.out) == 1 && $(wc -l <pairs.jsonl) == 3 && $(cat linnet.count) == 3 ]] || fail "a pair was measured again: $(cat again.out)"
"$peers" --table pairs.jsonl >table.out
grep -qF '| cnn5x5 | 10 | 1 | 3 | 50.0 (channels_last) | 90.0 | 1.80 (1.60 to 2.00) | 8, 25 % | 80 | 40 |' table.out || fail "the table: $(cat table.out)"
HAD=0.8 "$peers" --out busy.jsonl "${pairs[@]}" --pairs 1 --tries 2 >busy.out
grep -q 'Linnet 60.0.* in the way' busy.out || fail "a disturbed pair: $(cat busy.out)"

# One that stays is asked again, not started again; one that ends is.
sed 's/^echo "{/while echo "{/; $s/$/; do read -r || exit 0; done/; 2i echo started >>"$(dirname "$0")/starts"' python >stays
chmod +x stays
echo 0 >linnet.count
"$peers" --out stays.jsonl "${pairs[@]}" --python "$PWD/stays" --pairs 3 >stays.out
[[ $(wc -l <stays.jsonl) == 3 && $(wc -l <starts) == 2 ]] || fail "three pairs, two layouts: started $(wc -l <starts) times; $(cat stays.out)"

# Another budget or kind of product is another setting, and Linnet is told it.
"$peers" --out pairs.jsonl "${pairs[@]}" --pairs 1 --memory-mb 0,38 >tight.out
[[ $(wc -l <tight.out) == 1 ]] && grep -q '1 thread, within 38 MB, pair 1: ' tight.out || fail "a budget: $(cat tight.out)"
[[ $(cat linnet.last) == *" --set train.memory_mb=38 "* ]] || fail "a budget: $(cat linnet.last)"
"$peers" --out pairs.jsonl "${pairs[@]}" --pairs 1 --computes f32,bf16 >bf16.out
[[ $(wc -l <bf16.out) == 1 ]] && grep -q '1 thread, bf16, pair 1: ' bf16.out || fail "another compute: $(cat bf16.out)"
[[ $(cat linnet.last) == *" --set train.compute=bf16 "* ]] || fail "another compute: $(cat linnet.last)"
checks=$((checks + 9))

# complains PATTERN ARGUMENTS...: one sentence, and no pair is written.
complains() {
    local pattern=$1
    shift
    rm -f never.jsonl
    "$peers" --out never.jsonl "${pairs[@]}" "$@" >/dev/null 2>complaint && fail "$*: was taken"
    [[ $(wc -l <complaint) == 1 && ! -e never.jsonl ]] || fail "$*: said $(cat complaint)"
    grep -Eq -- "$pattern" complaint || fail "$*: said \"$(cat complaint)\", expected $pattern"
    checks=$((checks + 1))
}
complains 'PyTorch: .*nowhere.* cannot be run' --python "$PWD/nowhere"
complains 'PyTorch: a line of JSON was expected, it printed: hello' --python 'sh -c "echo hello"'
complains 'PyTorch: .* ended with 7: no torch here' --python 'sh -c "echo no torch here >&2; exit 7"'
complains 'PyTorch: its answer has no positive images_s, memory, processor_had' --python "sh -c 'echo \"{\\\"images_s\\\": 0, \\\"parameters\\\": 1000}\"'"
complains 'cnn5x5: PyTorch.s has 9 parameters, Linnet.s 1000' --python "sh -c 'echo \"{\\\"images_s\\\": 1, \\\"memory\\\": 1, \\\"processor_had\\\": 1, \\\"parameters\\\": 9}\"'"
complains 'Linnet: .*ended with 2: .*resnet77' --linnet "$LINNET" --models resnet77

# The program itself is understood, dense and sparse.
sed -i 's/1000/2156490/' python
"$peers" --out real.jsonl "${pairs[@]}" --linnet "$LINNET" --batches 2 --sparsities 0,0.9 --pairs 1 --seconds 1 >/dev/null
python3 - <<'END' || fail "what the program itself measured: $(cat real.jsonl)"
import json
dense, sparse = (json.loads(line) for line in open("real.jsonl"))
for row, sparsity in ((dense, 0), (sparse, 0.9)):
    ours = row["linnet"]
    assert ours["model"] == "cnn5x5" and ours["batch"] == 2 and ours["threads"] == 1 and ours["sparsity"] == sparsity
    assert abs(ours["images_s"] * ours["step"] - 2) < 1e-6 and 0 < ours["share_of_peak"] < 4 and 4e6 < ours["memory"] < 400e6
    assert abs(row["ratio"] * 50 - ours["images_s"]) < 1e-6 and row["rival"] == "channels_last"
END
checks=$((checks + 2))

# Rows do not inherit each other's peak.
"$LINNET" bench steps cnn5x5 logreg --batch 2 --seconds 1 --json --quiet >rows.json
python3 -c 'import json; big, small = json.load(open("rows.json")); assert big["memory"] > 2.5 * small["memory"]' || fail "memory: $(cat rows.json)"
"$LINNET" bench steps resnet9 --batch 32 --seconds 1 --json --quiet --set train.memory_mb=100 >tight.json
"$LINNET" bench steps resnet9 --batch 32 --seconds 1 --json --quiet >free.json
python3 -c 'import json; tight, free = (json.load(open(name))[0]["memory"] for name in ("tight.json", "free.json")); assert tight < free - 4e6' ||
    fail "a budget of 100 MB: $(cat tight.json free.json)"
refuses 1 'resnet9 with batch 10 needs .* but may have 19.07 MiB' "$LINNET" bench steps resnet9 --batch 10 --set train.memory_mb=20
refuses 2 'sparsity: "7" is out of range' "$LINNET" bench steps cnn5x5 --sparsity 7
checks=$((checks + 3))
echo "side by side: $checks checks"
