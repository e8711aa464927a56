/* Speech Commands (Warden, 2018): one second of one word a file, word/speaker_nohash_n.wav, as 32 x 32 cepstral pictures (data/speech.h). Twelve
 * classes: silence cut from _background_noise_, unknown (a part of all other words), and the ten words. The features are kept in a file beside the
 * recordings, since making them takes a minute. */
#include "base/log.h"
#include "base/pool.h"
#include "data/names.h"
#include "data/own.h"
#include "data/speech.h"

#include <math.h>
#include <nettle/sha1.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#define CACHE "mfcc.cache"
#define PATH_ROOM 4096
#define FILES_MAX 4194304u
#define NOISE_MAX (LN__SPEECH_RATE * 600) /* of one file: ten minutes */
enum { SILENCE, UNKNOWN, WORDS, WORDS_MAX = 256, NOISES_MAX = 64, FILES_A_CHUNK = 64 };

struct options {
    const char *path;
    struct ln_texts words;
    double unknown, silence;
    int64_t seed;
    int validation;
    bool cache;
};
enum { VALIDATION_LEAVE, VALIDATION_TRAIN, VALIDATION_TEST };
static const struct ln_option options[] = {{.key = "path",
                                            .type = LN_OPT_TEXT,
                                            .offset = offsetof(struct options, path),
                                            .fallback = "",
                                            .help = "the folder; empty: data.dir/speech-commands"},
                                           {.key = "words",
                                            .type = LN_OPT_TEXTS,
                                            .offset = offsetof(struct options, words),
                                            .fallback = "[\"yes\", \"no\", \"up\", \"down\", \"left\", \"right\", \"on\", \"off\", \"stop\", \"go\"]",
                                            .help = "a class each, after silence and unknown"},
                                           {.key = "unknown",
                                            .type = LN_OPT_REAL,
                                            .offset = offsetof(struct options, unknown),
                                            .fallback = "0.1",
                                            .min = 0,
                                            .max = 10,
                                            .help = "samples of other words, for each sample of the words (at most as many as there are)"},
                                           {.key = "silence",
                                            .type = LN_OPT_REAL,
                                            .offset = offsetof(struct options, silence),
                                            .fallback = "0.1",
                                            .min = 0,
                                            .max = 10,
                                            .help = "samples of silence, for each sample of the words"},
                                           {.key = "validation",
                                            .type = LN_OPT_ENUM,
                                            .offset = offsetof(struct options, validation),
                                            .fallback = "leave",
                                            .choices = "leave|train|test",
                                            .help = "what becomes of the validation split"},
                                           {.key = "seed",
                                            .type = LN_OPT_INT,
                                            .offset = offsetof(struct options, seed),
                                            .fallback = "1",
                                            .min = 0,
                                            .max = 9e15,
                                            .help = "of the draw of unknown words and of silence; apart from the run's seed"},
                                           {.key = "cache",
                                            .type = LN_OPT_BOOL,
                                            .offset = offsetof(struct options, cache),
                                            .fallback = "true",
                                            .help = "keep the features in " CACHE " beside the recordings"},
                                           {0}};

/* A recording, or (path NULL) a piece of a background noise. */
struct item {
    const char *path, *speaker; /* in the arena; the speaker's name is speaker_size bytes */
    uint32_t speaker_size, owner;
    int32_t label;
    int split; /* enum ln__split */
    uint32_t noise, from;
    float volume;
};

struct items {
    struct item *item;
    uint32_t count;
    size_t room;
};

struct noise {
    float *sample;
    size_t count;
};

struct building {
    const struct options *o;
    const char *root;
    struct ln__set *set;
    struct ln__arena arena;
    struct items words, others, all;
    struct ln__buf listed[2]; /* testing_list.txt, validation_list.txt, lines ended by 0 */
    struct ln__names lists[2];
    struct noise noise[NOISES_MAX];
    uint32_t noises;
    struct ln__sha256 key;
};
enum { TESTING, VALIDATION };

static int no_memory(struct ln_fault *fault)
{
    return ln_fault_set(fault, LN_ENOMEM, "speech-commands: no memory for its list of files");
}

static int add(struct items *items, const struct item *item)
{
    struct item *grown = ln__mem_more(items->item, items->count, &items->room, sizeof *grown);
    if (!grown)
        return LN_ENOMEM;
    items->item = grown;
    items->item[items->count++] = *item;
    return 0;
}

/* ---- which split a file is in ---- */
static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int read_list(struct building *in, int which, const char *name, struct ln_fault *fault)
{
    char path[PATH_ROOM];
    struct ln__buf *text = &in->listed[which];
    struct ln__names *list = &in->lists[which];
    ln__buf_init(text, (size_t)256 << 20);
    if (ln__file_join(path, sizeof path, in->root, name))
        return ln_fault_set(fault, LN_EBUDGET, "%s: the path is too long", in->root);
    if (!ln__file_exists(path))
        return 0;
    int code = ln__file_read(path, text->max - 1, text, fault);
    if (code == 0 && ln__buf_add(text, "\n", 1))
        code = no_memory(fault);
    size_t lines = 0;
    for (size_t i = 0; code == 0 && i < text->size; i++)
        lines += text->data[i] == '\n';
    if (code == 0 && !(list->name = ln__mem_alloc((lines + 1) * sizeof *list->name)))
        code = no_memory(fault);
    char *line = (char *)text->data;
    for (size_t i = 0; code == 0 && i < text->size; i++)
        if (text->data[i] == '\n') {
            text->data[i] = 0;
            if (i && text->data[i - 1] == '\r')
                text->data[i - 1] = 0;
            if (*line)
                list->name[list->count++] = line;
            line = (char *)text->data + i + 1;
        }
    if (list->count)
        qsort(list->name, list->count, sizeof *list->name, by_text);
    return code;
}

/* Of 100, by the hash of the speaker, so that all of a speaker's recordings fall to one side: the rule that came with the set (which_set). */
static double percentage(const char *speaker, size_t size)
{
    struct sha1_ctx sha;
    uint8_t digest[SHA1_DIGEST_SIZE];
    sha1_init(&sha);
    sha1_update(&sha, size, (const uint8_t *)speaker);
    sha1_digest(&sha, sizeof digest, digest);
    const uint8_t *low = digest + SHA1_DIGEST_SIZE - 4;
    uint32_t value = ((uint32_t)low[0] << 24 | (uint32_t)low[1] << 16 | (uint32_t)low[2] << 8 | low[3]) & ((1u << 27) - 1);
    return value * (100.0 / ((1u << 27) - 1));
}

/* -1: left out. name is word/file. */
static int split_of(const struct building *in, const char *name, const char *speaker, size_t size)
{
    bool validation, testing;
    if (in->lists[TESTING].name) {
        testing = ln__names_find(&in->lists[TESTING], name) >= 0;
        validation = in->lists[VALIDATION].name && ln__names_find(&in->lists[VALIDATION], name) >= 0;
    } else {
        double part = percentage(speaker, size);
        validation = part < 10;
        testing = !validation && part < 20;
    }
    if (validation)
        return in->o->validation == VALIDATION_TRAIN ? LN__TRAIN : in->o->validation == VALIDATION_TEST ? LN__TEST : -1;
    return testing ? LN__TEST : LN__TRAIN;
}

/* ---- the list of files ---- */
static bool is_wav(const char *name)
{
    const char *dot = strrchr(name, '.');
    return dot && !strcasecmp(dot, ".wav");
}

static int read_word(struct building *in, const char *word, int32_t label, struct ln_fault *fault)
{
    char folder[PATH_ROOM], name[PATH_ROOM];
    struct ln__names files = {0};
    if (ln__file_join(folder, sizeof folder, in->root, word))
        return ln_fault_set(fault, LN_EBUDGET, "%s: the path is too long", in->root);
    int code = ln__names_read(folder, is_wav, FILES_MAX, &files, fault);
    if (code == 0 && files.count == 0)
        code = ln_fault_set(fault, LN_ENOENT, "%s: holds no .wav file", folder);
    for (uint32_t i = 0; code == 0 && i < files.count; i++) {
        if (ln__file_join(name, sizeof name, word, files.name[i]) || strlen(name) + strlen(in->root) + 2 > PATH_ROOM) {
            code = ln_fault_set(fault, LN_EBUDGET, "%s: the path is too long", folder);
            break;
        }
        struct item item = {.path = ln__arena_text(&in->arena, name), .label = label};
        if (!item.path) {
            code = no_memory(fault);
            break;
        }
        item.speaker = strrchr(item.path, '/') + 1;
        const char *end = strstr(item.speaker, "_nohash_");
        item.speaker_size = (uint32_t)(end ? end - item.speaker : strrchr(item.speaker, '.') - item.speaker);
        item.split = split_of(in, item.path, item.speaker, item.speaker_size);
        if (item.split >= 0 && add(label == UNKNOWN ? &in->others : &in->words, &item))
            code = no_memory(fault);
    }
    ln__names_fini(&files);
    return code;
}

static int read_folders(struct building *in, struct ln_fault *fault)
{
    struct ln__names folders;
    int code = ln__names_read(in->root, NULL, 65536, &folders, fault);
    for (size_t w = 0; code == 0 && w < in->o->words.count; w++)
        if (ln__names_find(&folders, in->o->words.item[w]) < 0)
            code = ln_fault_set(fault, LN_ENOENT, "%s/%s: not found; unpack the Speech Commands archive there: a folder for each word", in->root,
                                in->o->words.item[w]);
    for (uint32_t i = 0; code == 0 && i < folders.count; i++) {
        int32_t label = UNKNOWN;
        for (size_t w = 0; w < in->o->words.count; w++)
            if (strcmp(folders.name[i], in->o->words.item[w]) == 0)
                label = WORDS + (int32_t)w;
        if (folders.name[i][0] != '_' && (label != UNKNOWN || in->o->unknown > 0)) /* _background_noise_ */
            code = read_word(in, folders.name[i], label, fault);
    }
    ln__names_fini(&folders);
    return code;
}

/* ---- silence ---- */
static int read_noises(struct building *in, struct ln_fault *fault)
{
    char folder[PATH_ROOM], path[PATH_ROOM];
    struct ln__names files = {0};
    if (ln__file_join(folder, sizeof folder, in->root, "_background_noise_"))
        return ln_fault_set(fault, LN_EBUDGET, "%s: the path is too long", in->root);
    if (!ln__file_exists(folder))
        return ln_fault_set(fault, LN_ENOENT, "%s: not found; silence is cut from its recordings (silence: 0 does without)", folder);
    int code = ln__names_read(folder, is_wav, NOISES_MAX, &files, fault);
    float *room = code ? NULL : ln__mem_alloc(NOISE_MAX * sizeof *room);
    if (code == 0 && !room)
        code = no_memory(fault);
    if (code == 0 && files.count == 0)
        code = ln_fault_set(fault, LN_ENOENT, "%s: holds no .wav file", folder);
    for (uint32_t i = 0; code == 0 && i < files.count; i++) {
        struct noise *noise = &in->noise[in->noises];
        code = ln__file_join(path, sizeof path, folder, files.name[i]) ? ln_fault_set(fault, LN_EBUDGET, "%s: the path is too long", folder)
                                                                       : ln__wav_read(path, room, NOISE_MAX, &noise->count, fault);
        if (code == 0 && noise->count < LN__SPEECH_RATE)
            code = ln_fault_set(fault, LN_ECORRUPT, "%s: %zu samples; expected a second, %d, or more", path, noise->count, LN__SPEECH_RATE);
        if (code == 0 && !(noise->sample = ln__mem_alloc(noise->count * sizeof *room)))
            code = no_memory(fault);
        if (code == 0) {
            memcpy(noise->sample, room, noise->count * sizeof *room);
            in->noises++;
        }
    }
    ln__mem_free(room);
    ln__names_fini(&files);
    return code;
}

/* ---- all samples of a split: words in their order, a draw of others, silence; owners of silence are drawn among the speakers of words ---- */
static int gather(struct building *in, int split, struct ln_fault *fault)
{
    struct ln__rng rng = ln__rng_at((struct ln__key){.seed = (uint64_t)in->o->seed, .round = (uint32_t)split, .purpose = LN__FOR_FORMULA});
    uint32_t first = in->all.count, others = 0;
    for (uint32_t i = 0; i < in->words.count; i++)
        if (in->words.item[i].split == split && add(&in->all, &in->words.item[i]))
            return no_memory(fault);
    uint32_t words = in->all.count - first;
    if (words == 0)
        return ln_fault_set(fault, LN_ECORRUPT, "%s: no recording falls to the %s split", in->root, split == LN__TRAIN ? "training" : "test");
    for (uint32_t i = 0; i < in->others.count; i++)
        others += in->others.item[i].split == split;
    uint64_t want = (uint64_t)llround(in->o->unknown * words);
    for (uint32_t i = 0; i < in->others.count && want; i++) { /* each of the others that are left with probability want / others */
        if (in->others.item[i].split != split)
            continue;
        if (want >= others || ln__rng_below(&rng, others) < want) {
            if (add(&in->all, &in->others.item[i]))
                return no_memory(fault);
            want--;
        }
        others--;
    }
    uint64_t silent = (uint64_t)llround(in->o->silence * words);
    for (uint64_t i = 0; i < silent; i++) {
        const struct item *of = &in->all.item[first + ln__rng_below(&rng, words)];
        struct item item = {.label = SILENCE, .split = split, .speaker = of->speaker, .speaker_size = of->speaker_size};
        item.noise = ln__rng_below(&rng, in->noises);
        item.from = ln__rng_below(&rng, (uint32_t)(in->noise[item.noise].count - LN__SPEECH_RATE) + 1);
        item.volume = (float)ln__rng_unit(&rng);
        if (add(&in->all, &item))
            return no_memory(fault);
    }
    in->set->split[split].count = in->all.count - first;
    return 0;
}

static int by_speaker(const void *a, const void *b)
{
    const struct item *one = *(struct item *const *)a, *two = *(struct item *const *)b;
    uint32_t least = one->speaker_size < two->speaker_size ? one->speaker_size : two->speaker_size;
    int order = memcmp(one->speaker, two->speaker, least);
    return order ? order : (one->speaker_size > two->speaker_size) - (one->speaker_size < two->speaker_size);
}

/* Labels and owners of both splits; speakers are numbered by name. */
static int keep_labels(struct building *in, struct ln_fault *fault)
{
    uint32_t first = 0;
    struct item **sorted = ln__mem_alloc((in->all.count + 1) * sizeof *sorted);
    int code = sorted ? 0 : no_memory(fault);
    for (int s = 0; code == 0 && s < LN__SPLITS; s++) {
        struct ln__samples *out = &in->set->split[s];
        int32_t *label;
        uint32_t *owner;
        code = ln__own_block(in->set, out->count, sizeof *label, &label, fault);
        if (code == 0)
            code = ln__own_block(in->set, out->count, sizeof *owner, &owner, fault);
        for (uint32_t i = 0; code == 0 && i < out->count; i++) {
            sorted[i] = &in->all.item[first + i];
            label[i] = sorted[i]->label;
        }
        if (code)
            break;
        qsort(sorted, out->count, sizeof *sorted, by_speaker);
        for (uint32_t i = 0; i < out->count; i++) {
            out->owners += i == 0 || by_speaker(&sorted[i - 1], &sorted[i]) != 0;
            sorted[i]->owner = out->owners - 1;
        }
        for (uint32_t i = 0; i < out->count; i++)
            owner[i] = in->all.item[first + i].owner;
        out->label = label;
        out->owner = owner;
        first += out->count;
    }
    ln__mem_free(sorted);
    return code;
}

/* ---- features ---- */
struct making {
    const struct building *in;
    float *feature; /* [all][LN__MFCC_SIZE] */
    struct ln__mfcc *mfcc[LN__DATA_WIDTH_MAX];
    float (*second)[LN__SPEECH_RATE]; /* a worker each */
    struct ln_fault *faults;          /* a chunk each; the first is told */
};

static void make_chunk(void *context, size_t chunk, unsigned worker)
{
    struct making *making = context;
    const struct building *in = making->in;
    float *second = making->second[worker];
    for (size_t i = chunk * FILES_A_CHUNK; i < in->all.count && i < (chunk + 1) * FILES_A_CHUNK; i++) {
        const struct item *item = &in->all.item[i];
        char path[PATH_ROOM];
        size_t count = 0;
        if (item->path) { /* its length was checked */
            snprintf(path, sizeof path, "%s/%s", in->root, item->path);
            if (ln__wav_read(path, second, LN__SPEECH_RATE, &count, &making->faults[chunk]))
                return;
            memset(second + count, 0, (LN__SPEECH_RATE - count) * sizeof *second);
        } else {
            for (size_t j = 0; j < LN__SPEECH_RATE; j++)
                second[j] = item->volume * in->noise[item->noise].sample[item->from + j];
        }
        ln__mfcc_make(making->mfcc[worker], second, making->feature + i * LN__MFCC_SIZE);
    }
    if (worker == 0)
        ln__progress("speech-commands", "recordings", (double)chunk * FILES_A_CHUNK, in->all.count, "features");
}

static int make_features(const struct building *in, float *feature, struct ln_fault *fault)
{
    unsigned width = ln__data_width();
    size_t chunks = (in->all.count + FILES_A_CHUNK - 1) / FILES_A_CHUNK;
    struct ln__pool *pool = NULL;
    struct making making = {.in = in, .feature = feature};
    making.second = ln__mem_alloc(width * sizeof *making.second);
    making.faults = ln__mem_zero(chunks, sizeof *making.faults);
    int code = making.second && making.faults ? ln__pool_new(width, &pool) : LN_ENOMEM;
    if (code)
        ln_fault_set(fault, code, "speech-commands: no memory or threads to make features");
    for (unsigned w = 0; code == 0 && w < width; w++)
        code = ln__mfcc_new(&making.mfcc[w], fault);
    if (code == 0)
        ln__pool_for(pool, chunks, make_chunk, &making);
    ln__progress_end();
    for (size_t c = 0; code == 0 && c < chunks; c++)
        if (making.faults[c].code)
            code = ln_fault_set(fault, making.faults[c].code, "%s", making.faults[c].text);
    for (unsigned w = 0; w < width; w++)
        ln__mfcc_free(making.mfcc[w]);
    ln__pool_free(pool);
    ln__mem_free(making.second);
    ln__mem_free(making.faults);
    return code;
}

/* Brings each coefficient to mean 0 and deviation 1 over the training split. */
static void standardise(const struct building *in, float *feature)
{
    for (size_t k = 0; k < LN__MFCC_SIDE; k++) {
        double sum = 0, square = 0, n = (double)in->set->split[LN__TRAIN].count * LN__MFCC_SIDE;
        for (uint32_t i = 0; i < in->set->split[LN__TRAIN].count; i++)
            for (size_t t = 0; t < LN__MFCC_SIDE; t++) {
                double value = feature[i * (size_t)LN__MFCC_SIZE + k * LN__MFCC_SIDE + t];
                sum += value;
                square += value * value;
            }
        double mean = sum / n, variance = square / n - mean * mean;
        float shift = (float)mean, scale = variance > 1e-12 ? (float)(1 / sqrt(variance)) : 1.0F;
        for (uint32_t i = 0; i < in->all.count; i++)
            for (size_t t = 0; t < LN__MFCC_SIDE; t++) {
                float *value = &feature[i * (size_t)LN__MFCC_SIZE + k * LN__MFCC_SIDE + t];
                *value = (*value - shift) * scale;
            }
    }
}

/* ---- the cache: head, features of the training split, of the test split ---- */
struct head {
    char magic[8];
    uint32_t train, test;
    struct ln__sha256 key; /* of all that the features follow from */
    uint32_t unused[4];
};
_Static_assert(sizeof(struct head) == 64, "features start aligned");

static int make_key(struct building *in, struct ln_fault *fault)
{
    struct ln__buf text;
    ln__buf_init(&text, (size_t)1 << 31);
    int code = ln__buf_print(&text, "mfcc 2 of %lld\n", (long long)in->o->seed);
    for (uint32_t i = 0; code == 0 && i < in->noises; i++) { /* which were read already */
        struct ln__sha256 sound;
        char hex[65];
        ln__sha256_of(in->noise[i].sample, in->noise[i].count * sizeof *in->noise[i].sample, &sound);
        ln__sha256_hex(&sound, hex);
        code = ln__buf_print(&text, "%s\n", hex);
    }
    for (uint32_t i = 0; code == 0 && i < in->all.count; i++) {
        const struct item *item = &in->all.item[i];
        char path[PATH_ROOM];
        struct stat about = {0};
        if (item->path) {
            snprintf(path, sizeof path, "%s/%s", in->root, item->path);
            if (stat(path, &about)) {
                ln__buf_fini(&text);
                return ln_fault_errno(fault, "%s: cannot be seen", path);
            }
        }
        code = ln__buf_print(&text, "%d %d %s %lld %lld.%09ld %u %u\n", item->split, (int)item->label, item->path ? item->path : "-",
                             (long long)about.st_size, (long long)about.st_mtim.tv_sec, about.st_mtim.tv_nsec, item->noise, item->from);
    }
    if (code == 0)
        ln__sha256_of(text.data, text.size, &in->key);
    ln__buf_fini(&text);
    return code ? no_memory(fault) : 0;
}

static bool cache_read(struct building *in, const char *path)
{
    struct ln__map map;
    struct ln_fault fault = {0};
    if (!ln__file_exists(path) || ln__own_map(in->set, path, &map, &fault))
        return false;
    const struct head *head = (const void *)map.data;
    struct ln__samples *train = &in->set->split[LN__TRAIN], *test = &in->set->split[LN__TEST];
    if (map.size != sizeof *head + (size_t)in->all.count * LN__MFCC_SIZE * sizeof(float) || memcmp(head->magic, "LNMFCC1", 8) != 0 ||
        head->train != train->count || head->test != test->count || memcmp(&head->key, &in->key, sizeof in->key) != 0)
        return false; /* of other options or recordings; made again */
    train->real = (const float *)(const void *)(map.data + sizeof *head);
    test->real = train->real + (size_t)train->count * LN__MFCC_SIZE;
    return true;
}

static int keep_features(struct building *in, struct ln_fault *fault)
{
    char path[PATH_ROOM];
    struct ln__samples *train = &in->set->split[LN__TRAIN], *test = &in->set->split[LN__TEST];
    if (ln__file_join(path, sizeof path, in->root, CACHE))
        return ln_fault_set(fault, LN_EBUDGET, "%s: the path is too long", in->root);
    int code = in->o->cache ? make_key(in, fault) : 0;
    if (code || (in->o->cache && cache_read(in, path)))
        return code;
    float *feature;
    code = ln__own_block(in->set, in->all.count, LN__MFCC_SIZE * sizeof *feature, &feature, fault);
    if (code == 0)
        code = make_features(in, feature, fault);
    if (code)
        return code;
    standardise(in, feature);
    train->real = feature;
    test->real = feature + (size_t)train->count * LN__MFCC_SIZE;
    if (in->o->cache) {
        struct head head = {.magic = "LNMFCC1", .train = train->count, .test = test->count, .key = in->key};
        struct ln__piece piece[] = {{&head, sizeof head}, {feature, (size_t)in->all.count * LN__MFCC_SIZE * sizeof *feature}};
        struct ln_fault why = {0};
        if (ln__file_replace(path, piece, 2, &why))
            ln__log(LN__LOG_WARN, "%s; the features will be made again next time", why.text);
    }
    return 0;
}

/* ---- */
static int keep_names(struct building *in, struct ln_fault *fault)
{
    const char **name;
    size_t classes = WORDS + in->o->words.count;
    if (in->o->words.count == 0 || in->o->words.count > WORDS_MAX)
        return ln_fault_set(fault, LN_ECONFIG, "speech-commands: %zu words; expected 1 to %d", in->o->words.count, WORDS_MAX);
    for (size_t w = 0; w < in->o->words.count; w++) {
        const char *word = in->o->words.item[w];
        if (!*word || strchr(word, '/') || word[0] == '.' || word[0] == '_')
            return ln_fault_set(fault, LN_ECONFIG, "speech-commands: \"%s\" is no word; expected the name of a folder of recordings", word);
    }
    int code = ln__own_block(in->set, classes, sizeof *name, &name, fault);
    if (code)
        return code;
    name[SILENCE] = "silence";
    name[UNKNOWN] = "unknown";
    size_t room = 0, at = 0;
    char *text;
    for (size_t w = 0; w < in->o->words.count; w++)
        room += strlen(in->o->words.item[w]) + 1;
    code = ln__own_block(in->set, room, 1, &text, fault);
    for (size_t w = 0; code == 0 && w < in->o->words.count; w++) {
        size_t size = strlen(in->o->words.item[w]) + 1;
        name[WORDS + w] = memcpy(text + at, in->o->words.item[w], size);
        at += size;
    }
    in->set->classes = (int)classes;
    in->set->class_name = name;
    return code;
}

static int build(struct building *in, struct ln_fault *fault)
{
    int code = keep_names(in, fault);
    if (code == 0)
        code = read_list(in, TESTING, "testing_list.txt", fault);
    if (code == 0)
        code = read_list(in, VALIDATION, "validation_list.txt", fault);
    if (code == 0)
        code = read_folders(in, fault);
    if (code == 0 && in->o->silence > 0)
        code = read_noises(in, fault);
    for (int s = 0; code == 0 && s < LN__SPLITS; s++)
        code = gather(in, s, fault);
    if (code == 0)
        code = keep_labels(in, fault);
    return code ? code : keep_features(in, fault);
}

static int open_set(const void *chosen, const char *dir, struct ln__set *out, struct ln_fault *fault)
{
    const struct options *o = chosen;
    int code = ln__own_init(out, "speech-commands", fault);
    out->c = 1;
    out->h = out->w = LN__MFCC_SIDE;
    struct ln__mfcc *probe = NULL;
    if (code == 0)
        code = ln__mfcc_new(&probe, fault); /* whether there is speech at all in this build */
    ln__mfcc_free(probe);
    struct building *in = code ? NULL : ln__mem_zero(1, sizeof *in);
    if (!in)
        return code ? code : no_memory(fault);
    in->o = o;
    in->root = o->path[0] ? o->path : dir;
    in->set = out;
    ln__arena_init(&in->arena, (size_t)1 << 30);
    code = ln__file_exists(in->root)
               ? build(in, fault)
               : ln_fault_set(fault, LN_ENOENT, "%s: not found; unpack the Speech Commands archive there: a folder for each word", in->root);
    for (uint32_t i = 0; i < in->noises; i++)
        ln__mem_free(in->noise[i].sample);
    for (int i = 0; i < 2; i++) {
        ln__mem_free(in->lists[i].name); /* its texts lie in listed */
        ln__buf_fini(&in->listed[i]);
    }
    ln__mem_free(in->words.item);
    ln__mem_free(in->others.item);
    ln__mem_free(in->all.item);
    ln__arena_fini(&in->arena);
    ln__mem_free(in);
    return code;
}

const struct ln__dataset ln__dataset_speech_commands = {.plugin = {.name = "speech-commands",
                                                                   .summary = "spoken words by speaker, 32x32 MFCC, 10 words, unknown and silence",
                                                                   .options = options,
                                                                   .options_size = sizeof(struct options)},
                                                        .source = "Google's speech_commands archive (0.01 or 0.02), unpacked by hand",
                                                        .open = open_set};
