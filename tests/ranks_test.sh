#!/bin/bash
# Several ranks under mpirun: the same bits for one, two and three; a rank that is killed ends the run, which goes on from its checkpoint.
[[ -z ${TMPDIR:-} && -w /dev/shm ]] && export TMPDIR=/dev/shm # many checkpoints, each waiting for the disk
source "$(dirname "$0")/program.sh"

command -v mpirun >/dev/null || fail "there is no mpirun: run tools/setup (openmpi-bin, libopenmpi-dev)"
"$LINNET" --version | grep -q 'open mpi [0-9]' || fail "the program was built without Open MPI: run tools/setup (libopenmpi-dev) and build again"

export OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_mpi_yield_when_idle=1 OMPI_MCA_pml=ob1 OMPI_MCA_btl=self,vader,tcp # one machine, busy
ranks() { # N ARGUMENTS...
    local n=$1
    shift
    timeout 120 mpirun --oversubscribe --allow-run-as-root -n "$n" "$LINNET" "$@"
}

number=0
for strategy in fedavg '{kind: fedbuff, buffer: 3}' fedasync '{kind: ecofl, groups: 2}' astraea; do
    number=$((number + 1))
    "$LINNET" run tiny.yaml --out "s$number-1" --set "strategy=$strategy" --quiet >/dev/null
    for n in 2 3; do
        ranks $n run tiny.yaml --out "s$number-$n" --set "strategy=$strategy" --quiet >out 2>&1 || fail "$strategy on $n ranks: $(cat out)"
        same "s$number-1" "s$number-$n"
        diff <(ls "s$number-1/checkpoint/blobs") <(ls "s$number-$n/checkpoint/blobs") || fail "$strategy on $n ranks: the checkpoint holds something else"
    done
done

# What clients keep, and sparse updates, travel.
for more in 'method=ecofed' 'codec.up=f16'; do
    number=$((number + 1))
    set=(--set "$more")
    [[ $more == method=ecofed ]] && set+=(--set model.name=cnn5x5
        --set 'data.set={kind: synthetic, channels: 3, height: 16, width: 16, train: 96, test: 40}' --set train.rounds=3)
    "$LINNET" run tiny.yaml --out "s$number-1" "${set[@]}" --quiet >/dev/null
    ranks 2 run tiny.yaml --out "s$number-2" "${set[@]}" --quiet >out 2>&1 || fail "$more on 2 ranks: $(cat out)"
    same "s$number-1" "s$number-2"
done

# A rank dies in the middle: the run ends, says which process it was, and goes on, here on three ranks.
long=(--set train.rounds=200 --set train.epochs=60 --set eval.every=200 --set checkpoint.every_s=0.05 --quiet)
"$LINNET" run tiny.yaml --out whole "${long[@]}" >/dev/null
ranks 2 run tiny.yaml --out killed "${long[@]}" >out 2>&1 &
runner=$!
for ((i = 0; i < 3000; i++)); do
    [[ -s killed/checkpoint/journal ]] && break
    kill -0 $runner 2>/dev/null || break
    sleep 0.01
done
sleep 0.1
victim=
for pid in $(pgrep -f -- "$LINNET run tiny.yaml --out killed" || true); do
    [[ $(readlink "/proc/$pid/cwd") == "$work" ]] || continue # another run of this test
    tr '\0' '\n' <"/proc/$pid/environ" 2>/dev/null | grep -qx OMPI_COMM_WORLD_RANK=1 && victim=$pid
done
[[ -n $victim ]] || fail "rank 1 was not to be found: $(cat out)"
kill -9 "$victim"
code=0
wait $runner || code=$?
[[ $code != 0 ]] || fail "a run with a dead rank ended well"
grep -Eq 'rank 1 .*(exited on signal 9|Killed)' out || fail "the dead rank is not named: $(cat out)"
ranks 3 run tiny.yaml --out killed "${long[@]}" --resume >out 2>&1 || fail "resuming on three ranks: $(cat out)"
same whole killed
echo "ranks: $checks comparisons"
