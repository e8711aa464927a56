#!/bin/bash
# The five programs in examples/: at most a hundred lines each, public headers only, compiled against the built library, run, their results looked at.
# And the shared library's face: public names only; and the recipes there.
source "$(dirname "$0")/program.sh"
build=$(dirname "$LINNET")
[[ -e $build/liblinnet.so ]] || ninja -C "$build" linnet_shared >/dev/null || fail "the shared library does not build"

compile() { # NAME: warnings are errors; no header of the inside is found
    local source=$LINNET_SOURCE_DIR/examples/$1.c
    (($(wc -l <"$source") <= 100)) || fail "$1.c has $(wc -l <"$source") lines"
    ${CC:-cc} -std=c17 -D_GNU_SOURCE -O1 -Wall -Wextra -Werror $SANITIZE -I "$LINNET_SOURCE_DIR/include" "$source" -o "$1" -L "$build" -llinnet -lm ||
        fail "$1.c does not compile"
}
# A library with sanitizers wants programs with them.
SANITIZE=$(sed -n 's/^LINNET_SANITIZE:[^=]*=\([a-z,]*\)$/-fsanitize=\1/p' "$build/CMakeCache.txt" | sed 's/=$//; /fsanitize$/d')
export LD_LIBRARY_PATH=$build
example() { # NAME PATTERN ARGUMENTS...
    local name=$1 pattern=$2
    shift 2
    [[ -x $name ]] || compile "$name"
    "./$name" "$@" >"$name.out" 2>&1 || fail "$name: exit code $?: $(cat "$name.out")"
    grep -Eq -- "$pattern" "$name.out" || fail "$name: expected $pattern: $(cat "$name.out")"
    checks=$((checks + 1))
}

example train_a_model '^(3[4-9]|40)[0-9] of 400 new pictures right'
[[ -s discs.safetensors ]] || fail "train_a_model left no model"
"$LINNET" export discs.safetensors --out discs.onnx >/dev/null || fail "the program does not know the trainer's file"
example run_a_federation 'round  20: accuracy  *(8|9|10)[0-9.]+ %'
example run_a_federation 'round   3: accuracy' "$work/tiny.yaml" train.rounds=3 eval.every=1
example write_a_strategy '^quickest: accuracy (8|9|10)[0-9.]+ % after 15 rounds'
example write_a_codec '^sign2: accuracy (8|9|10)[0-9.]+ %'
example embed_a_client 'round  9: accuracy before it  *(8|9|10)[0-9.]+ %'
! ./run_a_federation train.round=3 2>misspelt.err || fail "a misspelt key is taken"
grep -q 'did you mean .*rounds' misspelt.err || fail "a misspelt key: $(cat misspelt.err)"

# Two trees of updates: what goes up in two bits is a tenth of floats, or less.
read -r floats few < <(sed -nE 's/.* ([0-9.]+) kB up/\1/p' write_a_codec.out | paste -s -d ' ')
awk -v a="$floats" -v b="$few" 'BEGIN { exit !(b * 10 < a) }' || fail "sign2 sent $few kB against $floats"

# What leaves the library is ln_noun_verb: no kernel (ln_k_...), no room's name (ln__...), nothing else.
nm -D --defined-only "$build/liblinnet.so" | awk '$2 ~ /[TDBRV]/ { print $3 }' | grep -vE '^(ln_[a-jl-z][a-z0-9_]*|ln_kind_[a-z]+|LINNET_0)(@@LINNET_0)?$' >strangers || true
[[ ! -s strangers ]] || [[ -n $SANITIZE ]] || fail "the library exports $(head -5 strangers | paste -s -d ' ')"
programs=$checks

# Every recipe in examples/ is one: keys, types and plug-ins are right.
while read -r recipe; do
    "$LINNET" recipe "$recipe" >/dev/null || fail "${recipe#"$LINNET_SOURCE_DIR/"} is no recipe"
    checks=$((checks + 1))
done < <(find "$LINNET_SOURCE_DIR/examples" -name '*.yaml')
echo "examples: $programs programs, $((checks - programs)) recipes"
