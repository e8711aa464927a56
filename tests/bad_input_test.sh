#!/bin/bash
# Bad input: one clear sentence each, the right exit code, and nothing left behind or lost.
source "$(dirname "$0")/program.sh"

run() { refuses "$1" "$2" "$LINNET" run tiny.yaml --out never "${@:3}"; }

# ---- recipes: the place, the key, what was expected ----
sed 's/epochs:/epoch:/' tiny.yaml >misspelt.yaml
refuses 2 'misspelt\.yaml:5: .*train\.epoch.*did you mean .*epochs' "$LINNET" run misspelt.yaml --out never
sed 's/rounds: 12/rounds: many/' tiny.yaml >mistyped.yaml
refuses 2 'mistyped\.yaml:5: .*train\.rounds.*integer' "$LINNET" run mistyped.yaml --out never
sed 's/rounds: 12/rounds: -3/' tiny.yaml >negative.yaml
refuses 2 'negative\.yaml:5: .*train\.rounds.*-3' "$LINNET" run negative.yaml --out never
sed 's/logreg/logrge/' tiny.yaml >unknown.yaml
refuses 2 'unknown\.yaml:3: .*logrge.*cnn5x5.*logreg.*vgg11' "$LINNET" run unknown.yaml --out never
printf 'name: [\n' >broken.yaml
refuses 2 'broken\.yaml:' "$LINNET" run broken.yaml --out never
refuses 1 'absent\.yaml: .*No such file' "$LINNET" run absent.yaml --out never
run 2 'train\.epoch' --set train.epoch=3
run 2 'strategy.*fedavgg.*fedavg' --set strategy=fedavgg
run 2 'rounds' --set train.rounds=0
run 2 'fleet\.devices\.0\.profile: "rpi9" is none of its values; .*rpi3, rpi4, rpi5' --set 'fleet.devices=[{profile: rpi9}]'
run 2 'fleet\.devices\.0\.path: .*4g, 4g\+, wifi, lan' --set 'fleet.devices=[{path: 5g}]'
"$LINNET" list fleet | grep -Fq 'profile (rpi3|rpi4|' || fail "linnet list fleet names no profiles"

# ---- the command line ----
refuses 2 'rnu: .*did you mean run' "$LINNET" rnu
refuses 2 '--treads.*--threads' "$LINNET" profile logreg --treads 2
refuses 2 'value is missing' "$LINNET" run tiny.yaml --out
refuses 2 '--out: a value is missing before --resume' "$LINNET" run tiny.yaml --out --resume
many=$(printf 'x%.0s ' {1..256})
refuses 2 'expected at most 256 arguments' "$LINNET" predict whole $many
for arguments in --version --help 'run --help' 'help run' list; do
    refuses 1 'standard output: cannot write' bash -c '"$@" >/dev/full' bash "$LINNET" $arguments
done
refuses 2 'argument is needed' "$LINNET" run
refuses 2 'LINNET_ISA=sse9.*ref' env LINNET_ISA=sse9 "$LINNET" list
refuses 2 'no such model.*cnn5x5' "$LINNET" profile cnn5
refuses 2 'name: "\.\./evil"' "$LINNET" run tiny.yaml --set 'name=../evil'

# ---- files ----
"$LINNET" run tiny.yaml --out whole --quiet >/dev/null
head -c 700 whole/model.safetensors >truncated.safetensors
run 1 'truncated\.safetensors: ' --set 'model.init={kind: all, from: truncated.safetensors}'
mkdir -p cifar
for name in data_batch_1 data_batch_2 data_batch_3 data_batch_4 data_batch_5 test_batch; do
    truncate -s 30730000 cifar/$name.bin
done
truncate -s 30729999 cifar/data_batch_3.bin
run 1 'data_batch_3\.bin: .*30729999' --set data.set=cifar10 --set data.dir=cifar
rm cifar/data_batch_3.bin
run 1 'data_batch_3\.bin: .*linnet data get cifar10' --set data.set=cifar10 --set data.dir=cifar
[[ ! -e never ]] || fail "a run that never began left its folder behind: $(ls -A never)"
mkdir stood
refuses 1 'data_batch_3' "$LINNET" run tiny.yaml --out stood/made/never --set data.set=cifar10 --set data.dir=cifar
[[ -d stood && ! -e stood/made ]] || fail "a run that never began left $(find stood)"

# ---- where the run would be written ----
refuses 2 'whole: not empty; --resume .*--force' "$LINNET" run tiny.yaml --out whole
refuses 2 'recipe\.yaml: .*rounds: 12.*rounds: 13' "$LINNET" run tiny.yaml --out whole --resume --set train.rounds=13
for key in fleet.change.every_s eval.every_s; do
    refuses 2 'recipe\.yaml: .*every_s: 0.*every_s: 5' "$LINNET" run tiny.yaml --out whole --resume --set $key=5
done
"$LINNET" run tiny.yaml --out whole --resume --quiet --set checkpoint.every_s=5 --set fleet.threads=1 >/dev/null
cp -r whole lost
rm lost/checkpoint/journal
refuses 1 'lost/checkpoint/journal: lost.*--force' "$LINNET" run tiny.yaml --out lost --resume
cp whole/checkpoint/journal lost/checkpoint/
printf 'XXXX' | dd of=lost/checkpoint/journal bs=1 seek=20 conv=notrunc status=none
"$LINNET" run tiny.yaml --out lost --resume >/dev/null 2>anew.err
grep -q 'no checkpoint is complete; the run begins anew' anew.err || fail "a damaged record: $(cat anew.err)"
same whole lost

# ---- --force: the run before stays where the new one cannot be ----
echo '{}' >lost/leak.json
touch lost/mine
refuses 2 'sample.*100.*8 clients|train\.sample' "$LINNET" run tiny.yaml --out lost --force --set train.sample=100
refuses 1 'data_batch_1\.bin' "$LINNET" run tiny.yaml --out lost --force --set data.set=cifar10
refuses 1 'lost: in use by another process' flock lost/checkpoint/journal "$LINNET" run tiny.yaml --out lost --force
refuses 2 'lost/recipe\.yaml: in the folder whose run --force replaces' "$LINNET" run lost/recipe.yaml --out lost --force
# Neither where its recipe, nor where its first checkpoint cannot be written: then there is nothing to go on with.
for blocks in 0 40; do
    code=0
    said=$(bash -c 'ulimit -f $1; shift; exec "$@"' bash $blocks "$LINNET" run tiny.yaml --out lost --force --set data.set.height=48 --set data.set.width=48 2>&1) ||
        code=$?
    [[ $code == 1 && $said == *'File too large'* && $said != *'go on with'* ]] || fail "--force on a full disk: exit code $code, $said"
done
if ((EUID != 0)); then # a run in two halves is none
    chmod 555 lost/checkpoint
    refuses 1 'lost/checkpoint: cannot move to lost/\.replaced/checkpoint' "$LINNET" run tiny.yaml --out lost --force
    chmod 755 lost/checkpoint
fi
same whole lost
[[ -f lost/leak.json && ! -e lost/.replaced ]] || fail "a refused --force: $(ls -A lost)"
for mode in --force --resume --quiet; do # no folder is not this one
    (cd lost && refuses 1 'not a path' "$LINNET" run ../tiny.yaml --out '' $mode && rm refusal.*)
done
same whole lost
mkdir mine
cp tiny.yaml mine/recipe.yaml
refuses 2 'mine: holds recipe\.yaml that no run wrote' "$LINNET" run tiny.yaml --out mine --force
refuses 2 'mine/recipe\.yaml: in the folder' "$LINNET" run mine/recipe.yaml --out mine --force
cmp tiny.yaml mine/recipe.yaml || fail "--force took a recipe that no run wrote"
mv mine/recipe.yaml mine/model.safetensors
refuses 2 'mine: holds model\.safetensors that no run wrote' "$LINNET" run tiny.yaml --out mine --force
mkdir lost/.replaced
touch lost/.replaced/mine
"$LINNET" run tiny.yaml --out lost --force --quiet --set seed=8 >/dev/null
[[ -f lost/.replaced/mine && $(ls -A lost/.replaced) == mine ]] || fail "--force: $(ls -A lost/.replaced)"
rm -r lost/.replaced
[[ -f lost/mine && ! -e lost/leak.json && ! -e lost/.replaced ]] || fail "--force: $(ls lost)"
cmp -s whole/model.safetensors lost/model.safetensors && fail "--force left the old model"
touch file
refuses 1 'file/run: .*Not a directory|file: .*' "$LINNET" run tiny.yaml --out file/run
if ((EUID == 0)); then
    refuses 1 '/proc/linnet: cannot make the folder' "$LINNET" run tiny.yaml --out /proc/linnet
else
    mkdir -m 555 readonly
    refuses 1 'readonly/run: .*Permission denied' "$LINNET" run tiny.yaml --out readonly/run
fi

# ---- what cannot be built or shown ----
run 2 'model\.name: vgg11 on pictures of 3 x 7 x 7: ' --set model.name=vgg11 --set 'data.set={kind: synthetic, channels: 3, height: 7, width: 7, train: 64, test: 8}'
run 2 'train\.memory_mb: logreg with batch 10 needs ' --set train.memory_mb=1 --set 'data.set={kind: synthetic, channels: 3, height: 224, width: 224, train: 64, test: 8}'
budget=(--set train.rounds=1 --set train.memory_mb=10 --set model.name=cnn5x5 --set 'data.set={kind: synthetic, channels: 3, height: 32, width: 32, train: 64, test: 8}')
run 2 'train\.memory_mb: cnn5x5 with batch 10 needs ' "${budget[@]}"
"$LINNET" run tiny.yaml --out halved "${budget[@]}" --set 'method={kind: splitfed, cut: 1}' --quiet >/dev/null || fail "the device's half is within the budget"
run 2 'data\.set: synthetic: more than 8 GB' --set 'data.set={kind: synthetic, train: 1000000, height: 1000, width: 1000}'
run 2 'nesterov looks ahead by the momentum, and momentum is 0' --set 'train.optimizer={kind: sgd, momentum: 0, nesterov: true}'
run 2 'logreg has no cut points; say kind: all' --set 'model.init={kind: partial, from: truncated.safetensors}'
run 2 'give model\.init\.cut \(1\.\.3\)' --set model.name=cnn5x5 --set 'data.set={kind: synthetic, channels: 3, height: 16, width: 16, train: 64, test: 8}' \
    --set 'model.init={kind: partial, from: truncated.safetensors}'
printf 'PK\003\004 and so on' >torch.pth
refuses 1 'torch\.pth: not safetensors: a zip archive, as PyTorch' "$LINNET" import torch.pth --model cnn5x5 -o new.safetensors
refuses 2 '--out whole\.bin: ends neither in' "$LINNET" export whole -o whole.bin
refuses 2 '--format bin: expected' "$LINNET" export whole -o whole.bin --format bin
refuses 2 'logreg has no cut point' "$LINNET" leak tiny.yaml --steps 1
refuses 2 '--out nowhere: no run' "$LINNET" leak tiny.yaml --out nowhere
refuses 2 'zzz: no kernel' "$LINNET" bench kernels zzz
refuses 2 'sparse zzz: expected' "$LINNET" bench sparse zzz
refuses 2 'swat\.sparsity: ' "$LINNET" profile logreg --sparsity 2
refuses 2 '--kernels: says how' "$LINNET" profile logreg --kernels masked
refuses 2 'foo: no such model' "$LINNET" bench steps foo
[[ ! -s refusal.out && ! -e nowhere ]] || fail "a table without rows: $(cat refusal.out)"

# ---- a full disk during a checkpoint (a limit on the size of files acts the same): the old one stays ----
big=(tiny.yaml --set train.rounds=16 --set data.set.height=48 --set data.set.width=48 --set checkpoint.every_s=0)
"$LINNET" run "${big[@]}" --out roomy --quiet >/dev/null
begin_and_signal() { # SIGNAL WORDS ARGUMENTS...: sends it when the run has said a line with these words
    local signal=$1 words=$2 line
    shift 2
    rm -f said
    mkfifo said
    "$LINNET" run "$@" >interrupted.out 2>said &
    local pid=$!
    exec 3<said
    while IFS= read -r line <&3 && [[ $line != *"$words"* ]]; do :; done
    kill -"$signal" $pid
    cat <&3 >interrupted.err
    exec 3<&-
    code=0
    wait $pid || code=$?
}
begin_and_signal INT 'training 0/16' "${big[@]}" --out full # its first checkpoint follows
[[ $code == 1 ]] || fail "interrupted: exit code $code"
refuses 1 'full.*(File too large|No space left|no space left)' bash -c 'ulimit -f 40; exec "$@"' bash "$LINNET" run "${big[@]}" --out full --resume
"$LINNET" run "${big[@]}" --out full --resume --quiet >/dev/null
same roomy full
if ((EUID == 0)) && mkdir disk && mount -t tmpfs -o size=300k none disk 2>/dev/null; then
    code=0
    "$LINNET" run "${big[@]}" --out disk/run >/dev/null 2>disk.err || code=$?
    [[ $code == 1 ]] && grep -q 'No space left' disk.err || { umount disk; fail "full disk: exit code $code, $(cat disk.err)"; }
    umount disk
fi

# ---- Ctrl-C: saves, says how to go on; what it says works ----
begin_and_signal INT 'training 0/16' "${big[@]}" --out "it's stopped"
[[ $code == 1 ]] || fail "Ctrl-C: exit code $code"
command=$(sed -n 's/.*go on with: linnet //p' interrupted.err)
[[ $command == *--resume* ]] || fail "Ctrl-C did not say how to go on: $(cat interrupted.err)"
eval "\"\$LINNET\" $command --quiet" >/dev/null
same roomy "it's stopped"
begin_and_signal TERM ' kernels' "${big[@]}" --out "it's stopped" --force # before it has a checkpoint: what was there is there again
[[ $code == 1 ]] || fail "SIGTERM: exit code $code"
if grep -q 'before the first checkpoint' interrupted.err; then # else it was quicker than the signal
    same roomy "it's stopped"
fi
begin_and_signal INT '"unit":"rounds"' "${big[@]}" --out stopped --json
python3 -c 'import json, sys; [json.loads(line) for line in sys.stdin]' <interrupted.err || fail "Ctrl-C with --json: $(cat interrupted.err)"
echo "bad input: $checks checks"
