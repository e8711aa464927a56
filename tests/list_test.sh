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
echo "list: the matrix"
