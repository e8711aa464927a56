#!/bin/bash
# The five pipelines as whole runs: the same bits for one and two threads and after kills, replays from a buffer within its budget, devices that vanish.
source "$(dirname "$0")/program.sh"
RANDOM=1147

sets=(--quiet --set model.name=cnn5x5 --set 'data.set={kind: synthetic, height: 16, width: 16, train: 160, test: 40}' --set train.rounds=6 --set eval.every=2)
run() { "$LINNET" run tiny.yaml "${sets[@]}" "$@" >/dev/null; }
last() { tail -n 1 "$1/metrics.jsonl" | grep -o "\"$2\":[0-9.]*" | cut -d: -f2; }

q8='codec.act={kind: q8, signed: false, then: zstd}'
methods=('full' 'splitfed' 'localloss' 'fedgkt' 'ecofed' '{kind: ecofed, period: once, server: shared, replay_augment: shift}'
    '{kind: ecofed, augmented: 2, noise: 0.1, buffer_mb: 1, replay_augment: [shift, flip]}')
for i in "${!methods[@]}"; do
    run --out one-$i --set "method=${methods[$i]}" --set "$q8" --set fleet.threads=1
    run --out two-$i --set "method=${methods[$i]}" --set "$q8" --set fleet.threads=2
    same one-$i two-$i
    cmp one-$i/gantt.jsonl two-$i/gantt.jsonl || fail "${methods[$i]}: another gantt.jsonl"
done

# With floats on the wire the split changes nothing.
run --out exact --set method=splitfed
cmp one-0/model.safetensors exact/model.safetensors || fail "splitfed is not the training of the whole network"

# Replays cost no bytes: half the rounds do, and once is one upload a client.
[[ $(last one-4 bytes_down) == 0 ]] || fail "ecofed sent something down"
(($(last one-5 bytes_up) < $(last one-4 bytes_up))) || fail "once sends as much as every second round"

# The server's training over all clients' activations at once is in the books: as much as on copies of them.
for server in copies shared; do
    run --out $server --set "method={kind: ecofed, server: $server}" --set train.rounds=2
done
[[ $(last shared server_macs) == $(last copies server_macs) && $(last shared server_macs) != 0 ]] ||
    fail "a shared server trains with $(last shared server_macs) multiply-adds, copies with $(last copies server_macs)"

# A buffer of a megabyte: what floats take is far above it.
run --out small --set 'method={kind: ecofed, buffer_mb: 1}' --set data.set.train=960
run --out large --set 'method={kind: ecofed}' --set data.set.train=960
(($(last small kept_bytes) <= 1000000)) || fail "the buffer holds $(last small kept_bytes) bytes"
(($(last large kept_bytes) > 1000000)) || fail "the buffer would have fitted: $(last large kept_bytes) bytes"
(($(last small kept_clients) < $(last large kept_clients))) || fail "nobody was evicted"

# Devices that vanish in the middle: the run ends, and the same way again.
for n in 1 2; do
    run --out gone-$n --set method=ecofed --set 'fleet.devices=[{failure: 0.4}]' --set fleet.threads=$n
done
same gone-1 gone-2
(($(last gone-1 dropped) > 0)) || fail "no device vanished"

# Killed with a buffer: what follows is the same.
begun=$(date +%s%N)
run --out whole --set method=ecofed --set checkpoint.every_s=0.01 --set train.rounds=12
took=$((($(date +%s%N) - begun) / 1000000))
kills=0
for ((i = 0; i < 40 && kills < 8; i++)); do
    moment=$((5 + RANDOM % (took / 2 + 20))) code=0
    { timeout -s KILL "$(printf '%d.%03d' $((moment / 1000)) $((moment % 1000)))" "$LINNET" run tiny.yaml "${sets[@]}" --out killed --resume \
        --set method=ecofed --set checkpoint.every_s=0.01 --set train.rounds=12 >/dev/null 2>killed.err; } 2>/dev/null || code=$?
    ((code == 137)) && kills=$((kills + 1))
    ((code == 137 || code == 0)) || fail "exit code $code: $(cat killed.err)"
done
((kills >= 3)) || fail "only $kills kills"
run --out killed --resume --set method=ecofed --set checkpoint.every_s=0.01 --set train.rounds=12
same whole killed

refuses 2 'method.cut: 9 is no cut point of cnn5x5; it has 1 \(after pool 1\), 2 \(after pool 2\), 3 \(after fc1\)' \
    "$LINNET" run tiny.yaml "${sets[@]}" --set 'method={kind: ecofed, cut: 9}' --out refused
echo "ecofed: $checks comparisons, $kills kills"
