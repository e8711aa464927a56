#!/bin/bash
# What goes with what: every pair is tried with what it needs, the rows are in line, every refusal has its reason.
source "$(dirname "$0")/program.sh"

"$LINNET" list --matrix >matrix.out 2>matrix.err
[[ ! -s matrix.err ]] || fail "the trials said: $(head -1 matrix.err)"
python3 - <<'END' || fail "the matrix: $(cat matrix.out)"
import re
lines = open("matrix.out").read().split("\n")
rows = [line for line in lines if re.match(r" *\d+ [a-z]+ ", line)]
foot = lines[lines.index(rows[-1]) + 1]
at = {number: foot.index(f" {number} ") + len(number) for number in foot.split()[:-1]} # a column is where its number ends
at[foot.split()[-1]] = len(foot) - 1
name = {row.split()[0]: row.split()[2] for row in rows}
fits, refused = {}, 0
for i, row in enumerate(rows):
    marks = row.split()[3:]
    assert len(marks) == i, row
    for k, mark in enumerate(marks):
        assert row[at[str(k + 1)]] == mark, f"out of line: {row}"
        fits[name[str(k + 1)], row.split()[2]] = mark
        refused += mark == "-"
for update in ("topk_diff", "topk_weights", "diff_on_topk_weights"):
    assert fits[update, "sparse"] == "+" and fits["fedavg", update] == "+" and fits["none", update] == "-", update
    assert fits[update, "resnet18"] == "+" and fits[update, "logreg"] == "-", update
reasons = [line for line in lines[lines.index(foot) + 1:] if line]
assert len(reasons) == refused and all(re.match(r"\S+ with \S+: .", line) for line in reasons), (len(reasons), refused)
END

# Every command has one document under --json, with all that it says to people.
"$LINNET" run tiny.yaml --out run --quiet >/dev/null
document() { # PYTHON COMMAND...: the document is `d`
    "$LINNET" "${@:2}" --json --quiet >document.json 2>document.err || fail "${*:2} --json: $(cat document.err)"
    python3 -c "import json; d = json.load(open('document.json')); assert $1" || fail "${*:2} --json: $(head -c 300 document.json)"
    checks=$((checks + 1))
}
document '[o for p in d if p["name"] == "sim" for o in p["options"] if o["key"] == "threads"][0]["max"] == 255' list fleet
document '"rpi5" in json.dumps(d)' list fleet
document '{"sgd", "adam"} <= {p["name"] for p in d["plugins"]["optimizer"]} and "train" in [k["key"] for k in d["keys"]]' recipe
document 'd["train"]["rounds"] == 13 and d["train"]["optimizer"] == {"kind": "sgd", "lr": 0.05, "momentum": 0.9, "nesterov": False, "weight_decay": 0}' \
    recipe tiny.yaml --set train.rounds=13
document 'len(d) > 10 and all(c["usage"] and c["summary"] for c in d)' help
document 'd["name"] == "run" and "--force" in d["usage"] and "Ctrl-C" in d["help"]' help run
document 'd["report"] == "run/report.html"' report run
document 'd["format"] == "onnx" and d["bytes"] > 1000' export run -o run.onnx
document 'd["parameters"] == 7850 and d["planned"]["total"] > 0 and d["peak_bytes"] > 0 and d["step_s"] > 0 and d["layers"]' profile logreg
document 'd["clients"]' data show tiny.yaml
! "$LINNET" data show tiny.yaml --csv --json 2>csv.err || fail "data show --csv --json is taken"
grep -q -- '--csv and --json: one or the other' csv.err || fail "data show --csv --json: $(cat csv.err)"
echo "list: the matrix, $checks documents"
