#!/bin/bash
# Plug-ins as a stranger adds them: a copy of the source, the files of docs/add-a-*.md as the pages print them, nothing else touched. They are built, listed with
# their options, in the recipe's schema, run by name, and put through the batteries.
source "$(dirname "$0")/program.sh"

mkdir -p source/src
cd source
for item in "$LINNET_SOURCE_DIR"/*; do
    [[ $(basename "$item") =~ ^(build|runs|data|src)$ ]] || ln -s "$item" .
done
cp -r "$LINNET_SOURCE_DIR"/src/. src/
count=0
for page in "$LINNET_SOURCE_DIR"/docs/add-a-*.md; do
    while read -r file; do
        [[ ! -e $file ]] || fail "$page: $file exists already"
        sed -n "\\|^\`\`\`c $file\$|,/^\`\`\`\$/p" "$page" | sed '1d;$d' >"$file"
        [[ -s $file ]] || fail "$page: $file is empty"
        count=$((count + 1))
    done < <(sed -n 's/^```c \(src\/.*\)$/\1/p' "$page")
done
((count >= 9)) || fail "the pages hold $count files"

generator=()
! command -v ninja >/dev/null || generator=(-G Ninja)
# That they are fast is not asked here: the plain kernels, and as little optimisation as the small runs below can do with.
cmake "${generator[@]}" -S . -B ../build -DCMAKE_BUILD_TYPE=Release -DCMAKE_C_FLAGS_RELEASE=-O1 -DLINNET_WERROR=ON -DLINNET_ISAS=none >../configure.log 2>&1 || fail "$(tail -5 ../configure.log)"
cmake --build ../build --target linnet test.whole.every_strategy test.whole.every_codec test.whole.every_partition test.whole.every_model \
    test.whole.every_choice -j2 >../build.log 2>&1 || fail "$(grep -E -A5 -m1 'error:|undefined' ../build.log)"
cd ..
new=./build/linnet
lists() { # KIND NAME
    $new list "$1" >list.out
    grep -Eq "^ +$2 +" list.out || fail "linnet list $1 lacks $2: $(cat list.out)"
    checks=$((checks + 1))
}
lists strategy damped
grep -Eq 'share .*= 0\.5: how far' list.out || fail "linnet list: the option share is not told: $(cat list.out)"
lists codec bf16
lists partition blocks
lists model lenet5
lists dataset stripes
lists method classifier
lists update sign
$new recipe >schema.out
grep -q damped schema.out && grep -q 'how far the model moves' schema.out || fail "linnet recipe does not know damped"

run() { # OUT SETTINGS...
    local out=$1
    shift
    $new run tiny.yaml --out "$out" --quiet "$@" >"$out.out" 2>&1 || fail "$*: $(cat "$out.out")"
    checks=$((checks + 1))
}
run strategy --set 'strategy={kind: damped, share: 0.7}'
run codec --set codec.up=bf16
run partition --set data.partition=blocks
run model --set model.name=lenet5 --set 'data.set={kind: synthetic, channels: 1, height: 28, width: 28, train: 200, test: 50}' --set train.rounds=2
run dataset --set data.set=stripes
run method --set 'method={kind: classifier, cut: 1}' --set model.name=lenet5 --set data.set=stripes --set train.rounds=2
run update --set update=sign
run layer --set model.name=gained
refuses 2 'strategy\.share.*2' $new run tiny.yaml --set 'strategy={kind: damped, share: 2}' --out never
refuses 1 'gain.*ONNX|ONNX.*gain' $new export layer --out layer.onnx

battery() { # KIND NAME...
    local kind=$1
    shift
    ./build/test.whole.every_"$kind" "$@" >battery.out 2>&1 || fail "$kind $*: $(grep -v 'OK \]' battery.out | head -20)"
    checks=$((checks + 1))
}
battery strategy damped
battery codec bf16
battery partition blocks
battery model lenet5 gained
battery choice classifier sign
grep -q 'OK.* classifier' battery.out && grep -q 'OK.* sign' battery.out || fail "the battery did not run them: $(cat battery.out)"
echo "outsider: $count files, $checks checks"
