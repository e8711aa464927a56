#!/bin/bash
# Weights in and out through the program: a training and its resumption, a run's folder, pictures, and what is refused.
source "$(dirname "$0")/program.sh"

cat >train.yaml <<'END'
model: {name: cnn5x5, norm: batch}
data: {set: {kind: synthetic, train: 96, test: 40, channels: 3, height: 8, width: 8, classes: 4}, augment: [flip]}
train: {epochs: 4, batch: 16, optimizer: {kind: adam, lr: 0.002}, schedule: {kind: step, every: 2}}
END
pretrain() { "$LINNET" pretrain "$@" --quiet 2>pretrain.err || fail "pretrain $*: $(cat pretrain.err)"; }

# ---- the same bits with any number of threads, and when it is stopped on the way ----
pretrain train.yaml -o whole.safetensors --threads 1
pretrain train.yaml -o threads.safetensors --threads 3
cmp whole.safetensors threads.safetensors || fail "threads changed the weights"
mkfifo said
"$LINNET" pretrain train.yaml -o "it's part.safetensors" --set 'train.optimizer={kind: adam, lr: 0.002}' --set train.epochs=4 >/dev/null 2>said &
pid=$! command=
while read -r line; do
    [[ $line != *"epoch 2 of 4"* ]] || kill -INT $pid
    [[ $line != *"go on with: linnet "* ]] || command=${line#*go on with: linnet }
done <said
code=0
wait $pid || code=$?
if [[ $code == 1 ]]; then # else it was quicker than the signal
    eval "\"\$LINNET\" $command --quiet" || fail "what was said to go on with: $command"
fi
cmp whole.safetensors "it's part.safetensors" || fail "a resumed training has other weights"
cp whole.safetensors.checkpoint done.safetensors.checkpoint
pretrain train.yaml -o done.safetensors --resume # nothing is left to do but OUT
cmp whole.safetensors done.safetensors || fail "a training that was done wrote no weights, or others"
# Without its checkpoint nothing is gone on with; --force takes that of the training before away, so that nobody goes on with it by mistake.
cp whole.safetensors forced.safetensors
refuses 2 'forced\.safetensors\.checkpoint: no such file, so no training to go on with' "$LINNET" pretrain train.yaml -o forced.safetensors --resume
cp whole.safetensors.checkpoint forced.safetensors.checkpoint
rm said
mkfifo said
"$LINNET" pretrain train.yaml -o forced.safetensors --force --set data.set.train=40000 >/dev/null 2>said &
pid=$! stopped=
while read -r line; do
    [[ $line != *" kernels" ]] || kill -INT $pid
    [[ $line != *"stopped in the first epoch"* ]] || stopped=yes
done <said
! wait $pid || fail "a training of forty thousand samples was quicker than a signal"
[[ $stopped == yes ]] || fail "a training stopped in its first epoch did not say so"
refuses 2 'forced\.safetensors\.checkpoint: no such file' "$LINNET" pretrain train.yaml -o forced.safetensors --resume
cmp whole.safetensors forced.safetensors || fail "--force took the weights before it had others"
refuses 2 'of another recipe' "$LINNET" pretrain train.yaml -o whole.safetensors --resume --set train.batch=8
refuses 2 'whole\.safetensors: exists; --resume' "$LINNET" pretrain train.yaml -o whole.safetensors
refuses 2 'strategy: unknown key' "$LINNET" pretrain train.yaml -o new.safetensors --set strategy=fedavg
refuses 1 'diverged in epoch' "$LINNET" pretrain train.yaml -o new.safetensors --set 'train.optimizer={kind: sgd, lr: 1000}'
refuses 2 '--out FILE' "$LINNET" pretrain train.yaml
# Where the file cannot be written is said before an epoch is spent, and no trace of the trial is left.
refuses 1 'nodir/new\.safetensors: cannot write: No such file' "$LINNET" pretrain train.yaml -o nodir/new.safetensors
! grep -q 'epoch 1' refusal.err || fail "an epoch was trained for nothing"
mkdir folder
refuses 2 'folder: not a regular file' "$LINNET" pretrain train.yaml -o folder --force
mkfifo pipe.safetensors
refuses 2 'pipe\.safetensors: not a regular file' "$LINNET" pretrain train.yaml -o pipe.safetensors --force
! grep -q 'epoch 1' refusal.err || fail "an epoch was trained for nothing"
if ((EUID != 0)); then
    mkdir -m 555 readonly
    refuses 1 'readonly/new\.safetensors: cannot write: Permission denied' "$LINNET" pretrain train.yaml -o readonly/new.safetensors
    ! grep -q 'epoch 1' refusal.err || fail "an epoch was trained for nothing"
fi
! compgen -G 'whole.safetensors.*' | grep -v 'checkpoint$' || fail "a trial file was left"
[[ $("$LINNET" pretrain train.yaml -o done.safetensors --resume --json --quiet | grep -c '"epoch"') == 4 ]] || fail "pretrain --json --quiet"
head -c 3000 whole.safetensors.checkpoint >cut.safetensors.checkpoint
refuses 1 'cut\.safetensors\.checkpoint: truncated' "$LINNET" pretrain train.yaml -o cut.safetensors --resume

# ---- under a sparsity: thresholds too go on as they would have, and the file knows it ----
sparse=(--set 'sparsity={kind: swat, sparsity: 0.8, period: 7, distribution: momentum}' --set 'train.optimizer={kind: sgd, lr: 0.05, momentum: 0.9}')
pretrain train.yaml -o swat.safetensors "${sparse[@]}" --threads 1
pretrain train.yaml -o dense.safetensors "${sparse[@]}" --set sparsity=none
! cmp -s swat.safetensors dense.safetensors || fail "pretrain does not see the sparsity"
mkfifo said.swat
"$LINNET" pretrain train.yaml -o swat.part.safetensors "${sparse[@]}" >/dev/null 2>said.swat &
pid=$!
while read -r line; do
    [[ $line != *"epoch 1 of 4"* ]] || kill -INT $pid
done <said.swat
code=0
wait $pid || code=$?
[[ $code != 1 ]] || pretrain train.yaml -o swat.part.safetensors "${sparse[@]}" --resume
cmp swat.safetensors swat.part.safetensors || fail "a resumed sparse training has other weights"
tested=$("$LINNET" pretrain train.yaml -o swat.safetensors "${sparse[@]}" --resume --json 2>/dev/null | sed -n 's/.*"test_accuracy": \([0-9.]*\).*/\1/p' | tail -1)
seen=$("$LINNET" eval swat.safetensors --quiet --json | sed -n 's/.*"accuracy": \([0-9.]*\).*/\1/p')
awk -v a="$tested" -v b="$seen" 'BEGIN { exit !(a != "" && a - b < 1e-6 && b - a < 1e-6) }' || fail "tested at $tested under the sparsity, eval says $seen"
refuses 2 'has no clients' "$LINNET" pretrain train.yaml -o new.safetensors --set sparsity=fjord

# ---- eval needs nothing but the file ----
accuracy=$("$LINNET" eval whole.safetensors --quiet --json | sed -n 's/.*"accuracy": \([0-9.]*\).*/\1/p')
[[ $accuracy == 1.0 || $accuracy == 0.[789]* ]] || fail "eval: accuracy $accuracy after learning made pictures"
rows=$("$LINNET" eval whole.safetensors 2>/dev/null | wc -l)
[[ $rows == 6 ]] || fail "eval: $rows lines for four classes"
refuses 1 'synthetic has samples of 3 x 16 x 16, the model takes 3 x 8 x 8' "$LINNET" eval whole.safetensors --set 'data.set={kind: synthetic, height: 16, width: 16, classes: 4}'
refuses 1 'synthetic has 9 classes, the model knows 4' "$LINNET" eval whole.safetensors --set 'data.set={kind: synthetic, height: 8, width: 8, classes: 9}'
refuses 1 'absent\.safetensors' "$LINNET" eval absent.safetensors
head -c 5000 whole.safetensors >cut.safetensors
refuses 1 'cut\.safetensors: truncated' "$LINNET" eval cut.safetensors
refuses 1 'cut\.safetensors: truncated' "$LINNET" import cut.safetensors --model cnn5x5 -o new.safetensors

# ---- pixels are normalised as the file says, not as the set would ----
"$LINNET" import whole.safetensors --model cnn5x5 --input 3x8x8 --classes 4 --mean 0.5,0.5,0.5 --std 0.25,0.5,1 -o scaled.safetensors >/dev/null
scaled() { "$LINNET" "$@" --set 'data.set={kind: synthetic, train: 96, test: 40, channels: 3, height: 8, width: 8, classes: 4}' --logits scaled.logits --count 8 >/dev/null 2>&1; }
scaled eval scaled.safetensors || fail "eval of an imported file"
python3 - <<'END' || fail "eval does not normalise as the file says"
import json, struct
file = open("scaled.logits", "rb").read()
size, = struct.unpack("<Q", file[:8])
begin, end = json.loads(file[8:8 + size])["input"]["data_offsets"]
x = struct.unpack(f"<{(end - begin) // 4}f", file[8 + size + begin:8 + size + end])
byte = [255 * (value * (0.25, 0.5, 1)[i // 64 % 3] + 0.5) for i, value in enumerate(x)]
assert all(abs(value - round(value)) < 1e-3 and -0.5 < value < 255.5 for value in byte)
END
checks=$((checks + 1))

# ---- a run's folder is a model too, and a pre-trained file begins one ----
"$LINNET" run tiny.yaml --out run --quiet >/dev/null
[[ $("$LINNET" eval run --quiet) == accuracy* ]] || fail "eval of a run's folder"
told=$("$LINNET" eval run --quiet --json | sed -n 's/.*"\(accuracy\|loss\)": \([0-9.]\{8\}\).*/\1 \2/p' | sort)
ended=$(sed -n 's/.*"\(accuracy\|loss\)": \([0-9.]\{8\}\).*/\1 \2/p' run/summary.json | sort)
[[ -n $told && $told == "$ended" ]] || fail "eval says \"$told\", the run ended with \"$ended\""
python3 - <<'END'
import struct
file = open("run/model.safetensors", "rb").read()
head = 8 + struct.unpack("<Q", file[:8])[0]
open("huge.safetensors", "wb").write(file[:head] + struct.pack("<f", 3e38) * ((len(file) - head) // 4))
END
"$LINNET" eval huge.safetensors --quiet >huge.out
"$LINNET" eval huge.safetensors --quiet --json >huge.json
grep -q 'loss -:' huge.out && grep -q '"loss": null' huge.json || fail "eval of a loss that is no number: $(cat huge.out huge.json)"
"$LINNET" export run -o run.safetensors >/dev/null
cmp run/model.safetensors run.safetensors || fail "export changed the weights"
refuses 1 'no model\.safetensors in it' "$LINNET" eval .
"$LINNET" run tiny.yaml --out begun --quiet --set train.rounds=1 --set 'model.init={kind: all, from: run.safetensors}' >/dev/null
refuses 1 'model\.init\.from: whole\.safetensors: tensor "fc\.weight" of logreg is missing' \
    "$LINNET" run tiny.yaml --out never --set 'model.init={kind: all, from: whole.safetensors}'

# ---- import, export ----
refuses 1 'tensor "conv1\.weight" has shape \[32, 3, 5, 5\] where resnet18 wants \[64, 3, 3, 3\]' \
    "$LINNET" import whole.safetensors --model resnet18 -o new.safetensors
refuses 1 'tensor "fc2\.weight" has shape \[4, 512\] where cnn5x5 wants \[7, 512\]' \
    "$LINNET" import whole.safetensors --model cnn5x5 --input 3x8x8 --classes 7 -o new.safetensors
said=$("$LINNET" import whole.safetensors --model cnn5x5 --input 3x8x8 --classes 7 --only body -o body.safetensors)
[[ $said == *"6 tensors loaded, 2 left at random"*"random fc2.weight, fc2.bias"* ]] || fail "import said \"$said\""
refuses 2 '--only 9: expected all, body .* 1 \(after pool 1\), 2 \(after pool 2\), 3 \(after fc1\)' "$LINNET" import whole.safetensors --model cnn5x5 --only 9 -o new.safetensors
import3() { refuses 2 "$1" "$LINNET" import whole.safetensors --model cnn5x5 --classes 4 -o new.safetensors "${@:2}"; }
import3 'a std from 1e-6 to a million' --input 3x8x8 --mean 0,0,0 --std 1,1e-8,1 # which could not be read again
import3 '--input -1x8x8: expected channels' --input -1x8x8 --mean 0 --std 1
refuses 2 'no such model' "$LINNET" import whole.safetensors --model cnn5 -o new.safetensors
refuses 2 '--format tflite: expected safetensors or onnx' "$LINNET" export whole.safetensors --format tflite -o new.tflite
"$LINNET" export whole.safetensors -o whole.onnx >/dev/null
[[ -s whole.onnx && ! -e new.safetensors ]] || fail "export, or something was left behind"
refuses 1 '/proc/linnet\.onnx' "$LINNET" export whole.safetensors -o /proc/linnet.onnx

# ---- pictures ----
{ printf 'P6 8 8 255\n'; head -c 192 /dev/zero; } >black.ppm
{ printf 'P5 16 16 255\n'; head -c 256 /dev/zero | tr '\0' '\377'; } >white.pgm
{ printf 'P6 8 8 255\n'; head -c 150 /dev/zero; } >short.ppm
rows=$("$LINNET" predict whole.safetensors black.ppm --quiet 2>/dev/null | wc -l)
[[ $rows == 5 ]] || fail "predict: $rows lines for four classes"
sum=$("$LINNET" predict whole.safetensors black.ppm white.pgm --resize --quiet --json 2>/dev/null |
    sed -n 's/.*"probability": \([0-9.e-]*\).*/\1/p' | awk '{sum += $1} END {printf "%.6f", sum}')
[[ $sum == 2.000000 ]] || fail "predict: the probabilities of two pictures sum to $sum"
refuses 1 'white\.pgm: 16 x 16 pixels where the model takes 8 x 8.*--resize' "$LINNET" predict whole.safetensors black.ppm white.pgm
refuses 1 'short\.ppm: ' "$LINNET" predict whole.safetensors short.ppm
refuses 1 'train\.yaml: neither a PNG' "$LINNET" predict whole.safetensors train.yaml
for channels in 2 4; do
    "$LINNET" run tiny.yaml --out of-$channels --quiet --set train.rounds=1 --set data.set.channels=$channels --set data.set.height=8 --set data.set.width=8 >/dev/null
    refuses 1 "of-$channels: the model takes $channels channels; pictures have 1 \(grey\) or 3 \(colour\)" "$LINNET" predict of-$channels white.pgm
done
refuses 1 'does not say how pixels are normalised' "$LINNET" predict body.safetensors black.ppm
refuses 2 'more argument' "$LINNET" predict whole.safetensors
echo "weights: $checks checks"
