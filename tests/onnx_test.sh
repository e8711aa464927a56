#!/bin/bash
# Exported ONNX files, run by another program's engine (onnxruntime-node, pinned in tests/onnx), give this program's logits to 1e-4.
source "$(dirname "$0")/program.sh"
onnx=$LINNET_SOURCE_DIR/tests/onnx
if [[ ! -d $onnx/node_modules/onnxruntime-node ]]; then
    (cd "$onnx" && npm ci --ignore-scripts --silent)
fi

# check NAME NORM MODEL [KEY=VALUE]...: trains a little, so that running statistics are not those of the start, exports, compares.
check() {
    local name=$1 norm=$2 model=$3 sets=()
    shift 3
    for set in "$@"; do sets+=(--set "$set"); done
    cat >"$name.yaml" <<END
model: {name: $model, norm: $norm}
data: {set: {kind: synthetic, train: 32, test: 8}}
train: {epochs: 1, batch: 8, optimizer: {kind: sgd, lr: 0.001}}
eval: {batch: 8}
END
    "$LINNET" pretrain "$name.yaml" -o "$name.safetensors" --quiet "${sets[@]}"
    "$LINNET" export "$name.safetensors" -o "$name.onnx" >/dev/null
    "$LINNET" eval "$name.safetensors" --batch 8 --logits "$name.logits" --count 8 --quiet >/dev/null
    node "$onnx/run.js" "$name.onnx" "$name.logits" "$norm"
    rm "$name".*
    checks=$((checks + 1))
}

check cnn5x5 batch cnn5x5
check vgg11 batch vgg11
check resnet18-running running resnet18
check resnet18-large running '{kind: resnet18, stem: 7x7}' data.set.height=48 data.set.width=40
check cnn3x3 running cnn3x3 data.set.channels=1 data.set.height=28 data.set.width=28
check resnet9 batch resnet9
check mobilenetv2 batch mobilenetv2
check mobilenetv2-same running '{kind: mobilenetv2, size: 224, padding: same}' data.set.height=64 data.set.width=64
check mobilenetv3-large running mobilenetv3-large
check efficientnet-b0 running efficientnet-b0
echo "ONNX: $checks models"
