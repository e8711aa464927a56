#!/bin/bash
# Bad pictures, tables, folders and weights, through the program: one sentence each that says which file, where in it, and what was expected.
source "$(dirname "$0")/program.sh"

picture() { # FILE WIDTH HEIGHT VALUE: grey, as PGM
    { printf 'P5\n%d %d\n255\n' "$2" "$3"; head -c $(($2 * $3)) /dev/zero | tr '\0' "\\$(printf %o "$4")"; } >"$1"
}
"$LINNET" run tiny.yaml --out whole --quiet >/dev/null

# ---- pictures ----
picture good.pgm 12 12 100
"$LINNET" predict whole good.pgm >/dev/null || fail "a good picture is refused"
# What a stranger wrote does not reach the terminal as it is: here the name of a file, below a table's cell.
picture $'red\e[31m.pgm' 12 12 100
"$LINNET" predict whole $'red\e[31m.pgm' >named.out
grep -q '^red?\[31m\.pgm ' named.out && ! grep -q $'\e' named.out || fail "a file's name, raw: $(cat -v named.out)"
picture wide.pgm 13 12 100
refuses 1 'wide\.pgm.*13.*12' "$LINNET" predict whole wide.pgm
head -c 60 good.pgm >cut.pgm
refuses 1 'cut\.pgm: ' "$LINNET" predict whole cut.pgm
printf 'GIF89a with nothing behind it' >foreign.png
refuses 1 'foreign\.png: .*(PNG|picture)' "$LINNET" predict whole foreign.png
printf '\x89PNG\r\n\x1a\n garbage' >broken.png
refuses 1 'broken\.png: ' "$LINNET" predict whole broken.png
: >empty.png
refuses 1 'empty\.png: ' "$LINNET" predict whole empty.png
refuses 1 'absent\.png: .*No such file' "$LINNET" predict whole absent.png
refuses 1 'broken\.png: ' "$LINNET" predict whole good.pgm broken.png

# ---- a folder of pictures by class ----
mkdir -p pets/{cat,dog}
for i in 1 2 3 4 5 6; do picture pets/cat/$i.pgm 12 12 $((20 * i)) && picture pets/dog/$i.pgm 12 12 $((255 - 20 * i)); done
folder=(tiny.yaml --out never --set train.rounds=1 --set data.clients=2 --set train.sample=1 --set data.partition=iid)
pets() { "$LINNET" run "${folder[@]}" --set 'data.set={kind: folder, path: '"$1"'}' --quiet; }
pets pets >/dev/null && rm -r never || fail "a good folder is refused"
mkdir pets/empty
refuses 1 'pets/empty: .*(no picture|empty)' pets pets
rmdir pets/empty
cp broken.png pets/cat/7.png
refuses 1 'pets/cat/7\.png: ' pets pets
rm pets/cat/7.png
picture pets/dog/7.pgm 9 12 1
refuses 1 'pets/dog/7\.pgm.*9.*12' pets pets
rm pets/dog/7.pgm
mkdir none
refuses 1 'none: ' pets none
refuses 1 'nowhere: ' pets nowhere

# ---- a table ----
table=(tiny.yaml --out never --set train.rounds=1 --set data.clients=2 --set train.sample=1 --set data.partition=iid --set data.dir=.)
mkdir -p csv
csv() { "$LINNET" run "${table[@]}" --set 'data.set={kind: csv, path: rows.csv}' --quiet; }
{ echo "length,width,kind"; for i in {1..20}; do echo "$i.5,$((i % 3)),$((i % 2))"; done; } >csv/rows.csv
csv >/dev/null && rm -r never || fail "a good table is refused"
sed '8s/.*/7.5,wide,1/' -i csv/rows.csv
refuses 1 'rows\.csv:8.*wide' csv
sed '8s/.*/7.5,\x1b[31mred\xc2\x9b,1/' -i csv/rows.csv
refuses 1 'rows\.csv:8.*"\?\[31mred\?\?"' csv
! grep -q $'\e' refusal.err || fail "a cell, raw: $(cat -v refusal.err)"
sed '8s/.*/7.5,1/' -i csv/rows.csv
refuses 1 'rows\.csv:8' csv
sed '8s/.*/7.5,nan,1/' -i csv/rows.csv
refuses 1 'rows\.csv:8' csv
: >csv/rows.csv
refuses 1 'rows\.csv' csv
rm csv/rows.csv
refuses 1 'rows\.csv.*(No such file|not found|absent|put)' csv
[[ ! -e never ]] || fail "a run that never began left its folder behind: $(ls -A never)"

# ---- weights: the tensor by its name, and both shapes ----
"$LINNET" run tiny.yaml --out other --set data.set.height=10 --set data.set.width=10 --quiet >/dev/null
refuses 1 'model\.init\.from: .*tensor "fc\.weight" has shape \[10, 100\] where logreg wants \[10, 144\]' \
    "$LINNET" run tiny.yaml --out never --set 'model.init={kind: all, from: other/model.safetensors}'
refuses 1 '"fc\.weight".*\[10, 100\].*\[10, 144\]' "$LINNET" import other/model.safetensors --model logreg --input 1x12x12 --classes 10 -o new.safetensors
refuses 1 '1 x 10 x 10|10 x 10' "$LINNET" eval other --set 'data.set={kind: synthetic, channels: 1, height: 12, width: 12, train: 10, test: 10}'
[[ ! -e never && ! -e new.safetensors ]] || fail "something was left behind"
echo "bad data: $checks checks"
