#!/bin/bash
# Spoken words, by espeak-ng: sixteen speakers (voices, pitches, speeds) say six words; a federation of them learns the words.
source "$(dirname "$0")/program.sh"

command -v espeak-ng >/dev/null || fail "espeak-ng is absent: run tools/setup"
folder=data/speech-commands
le32() { printf "\\x$(printf %02x $(($1 & 255)))\\x$(printf %02x $(($1 >> 8 & 255)))\\x$(printf %02x $(($1 >> 16 & 255)))\\x$(printf %02x $(($1 >> 24 & 255)))"; }

# espeak-ng speaks at 22,050 Hz; with 16,000 in the header the voice is deeper and slower, which the speed makes up for.
{ le32 16000; le32 32000; } >rate
say() {
    local file=$1 word=$2
    shift 2
    mkdir -p "${file%/*}"
    espeak-ng -w "$file" "$@" "$word"
    dd if=rate of="$file" bs=1 seek=24 conv=notrunc status=none
}
speakers=0
for voice in en en-us en-gb-scotland en-us+f3; do
    for pitch in 35 65; do
        for speed in 220 260; do
            speakers=$((speakers + 1))
            for word in yes no up stop bed cat; do
                say "$folder/$word/$(printf %08x $((speakers * 2654435 + 77)))_nohash_0.wav" $word -v $voice -p $pitch -s $speed
            done
        done
    done
done
# The last two speakers are for testing, as a list says.
for word in yes no up stop bed cat; do
    ls "$folder/$word" | tail -n 4 | sed "s|^|$word/|"
done >"$folder/testing_list.txt"
: >"$folder/validation_list.txt"
# A background: the program's own bytes as samples, four seconds.
mkdir -p $folder/_background_noise_
{
    printf RIFF; le32 128036; printf 'WAVEfmt '; le32 16; printf '\x01\x00\x01\x00'; le32 16000; le32 32000; printf '\x02\x00\x10\x00data'; le32 128000
    head -c 128000 "$LINNET"
} >$folder/_background_noise_/bytes.wav

cat >speech.yaml <<'END'
name: speech
seed: 1
model: {name: logreg}
data: {set: {kind: speech-commands, words: ["yes", "no", up, stop], unknown: 0.5, silence: 0.25}, dir: data, clients: 6, partition: writer}
train: {rounds: 20, sample: 6, epochs: 2, batch: 8, optimizer: {kind: sgd, lr: 0.002, momentum: 0.9}}
codec: {up: {kind: q8, then: zstd}, down: f16}
fleet: {kind: sim, threads: 2}
eval: {every: 20}
END
"$LINNET" data show speech.yaml >show.out
grep -q 'silence' show.out || fail "no class silence: $(cat show.out)"
[[ -s $folder/mfcc.cache ]] || fail "no mfcc.cache"
"$LINNET" run speech.yaml --out spoken --quiet >spoken.out
accuracy=$(sed -nE 's/.*"accuracy": ?([0-9.]+).*/\1/p' spoken/summary.json | head -1)
awk -v a="$accuracy" 'BEGIN { exit !(a > 0.34) }' || fail "accuracy $accuracy after 20 rounds; expected twice the chance of a sixth"
"$LINNET" run speech.yaml --out again --quiet --set fleet.threads=1 >/dev/null
same spoken again
rm "$folder/_background_noise_/bytes.wav" "$folder/mfcc.cache"
refuses 1 '_background_noise_: holds no .wav' "$LINNET" run speech.yaml --out third --quiet
echo "speech: accuracy $accuracy, $checks comparisons"
