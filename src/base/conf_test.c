#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/conf.h"
#include "base/file.h"

/* ---- a small world of plug-ins ---- */

struct sgd {
    double lr, momentum;
};
static const struct ln_option sgd_options[] = {
    {.key = "lr", .type = LN_OPT_REAL, .offset = offsetof(struct sgd, lr), .fallback = "0.01", .min = 0, .max = 10, .help = "learning rate"},
    {.key = "momentum", .type = LN_OPT_REAL, .offset = offsetof(struct sgd, momentum), .fallback = "0", .max = 0.5},
    {0}};
static const struct ln_plugin sgd = {"sgd", "plain", sgd_options, sizeof(struct sgd)};
static const struct ln_plugin adam = {"adam", "moments", NULL, 0};

struct vgg {
    int64_t classes;
};
static const struct ln_option vgg_options[] = {
    {.key = "classes", .type = LN_OPT_INT, .offset = offsetof(struct vgg, classes), .min = 2, .max = 1000, .help = "how many classes"}, {0}};
static const struct ln_plugin vgg11 = {"vgg11", "convolutions", vgg_options, sizeof(struct vgg)};
static const struct ln_plugin mnist = {"mnist", "digits", NULL, 0};

struct q8 {
    struct ln_choice then;
};
static const struct ln_option q8_options[] = {
    {.key = "then", .type = LN_OPT_PLUGIN, .kind = LN_KIND_CODEC, .offset = offsetof(struct q8, then), .fallback = "none"}, {0}};
static const struct ln_plugin q8 = {"q8", "8 bits", q8_options, sizeof(struct q8)};
struct loop {
    struct ln_choice again;
};
static const struct ln_option loop_options[] = {
    {.key = "again", .type = LN_OPT_PLUGIN, .kind = LN_KIND_SCHEDULE, .offset = offsetof(struct loop, again), .fallback = "loop"}, {0}};
static const struct ln_plugin loop = {"loop", "chooses itself by default", loop_options, sizeof(struct loop)};

static const struct ln_plugin *const optimizers[] = {&sgd, &adam}, *const models[] = {&vgg11}, *const sets[] = {&mnist}, *const codecs[] = {&q8},
                                     *const schedules[] = {&loop};
static const struct ln_catalog catalog = {{[LN_KIND_OPTIMIZER] = {optimizers, 2},
                                           [LN_KIND_MODEL] = {models, 1},
                                           [LN_KIND_DATASET] = {sets, 1},
                                           [LN_KIND_CODEC] = {codecs, 1},
                                           [LN_KIND_SCHEDULE] = {schedules, 1}}};

struct device {
    const char *profile, *path;
    int64_t count;
};
static const struct ln_option device_options[] = {
    {.key = "profile", .type = LN_OPT_TEXT, .offset = offsetof(struct device, profile)},
    {.key = "path", .type = LN_OPT_TEXT, .offset = offsetof(struct device, path), .fallback = "wifi", .choices = "4g|wifi|lan"},
    {.key = "count", .type = LN_OPT_INT, .offset = offsetof(struct device, count), .fallback = "1", .min = 1, .max = 1e6},
    {0}};

struct train {
    int64_t rounds, seed;
    double rate;
    bool fast;
    int norm;
    struct ln_choice optimizer;
};
static const struct ln_option train_options[] = {
    {.key = "rounds", .type = LN_OPT_INT, .offset = offsetof(struct train, rounds), .fallback = "10", .min = 1, .max = 1000000, .help = "how long"},
    {.key = "seed", .type = LN_OPT_INT, .offset = offsetof(struct train, seed), .fallback = "-5"},
    {.key = "rate", .type = LN_OPT_REAL, .offset = offsetof(struct train, rate), .fallback = "0.1"},
    {.key = "fast", .type = LN_OPT_BOOL, .offset = offsetof(struct train, fast), .fallback = "false"},
    {.key = "norm", .type = LN_OPT_ENUM, .offset = offsetof(struct train, norm), .fallback = "batch", .choices = "batch|running|none"},
    {.key = "optimizer",
     .type = LN_OPT_PLUGIN,
     .kind = LN_KIND_OPTIMIZER,
     .offset = offsetof(struct train, optimizer),
     .fallback = "{kind: sgd, momentum: 0.25}"},
    {0}};

struct recipe {
    const char *name, *note;
    struct ln_choice model, set, codec;
    struct train train;
    struct ln_ints sizes;
    struct ln_reals weights;
    struct ln_texts augment, tags;
    struct ln_rows devices;
};
#define ROW(k, t) .key = #k, .type = t, .offset = offsetof(struct recipe, k)
static const struct ln_option options[] = {
    {ROW(name, LN_OPT_TEXT), .help = "what to call it"},
    {ROW(note, LN_OPT_TEXT), .fallback = ""},
    {ROW(model, LN_OPT_PLUGIN), .kind = LN_KIND_MODEL, .fallback = "{kind: vgg11, classes: 10}"},
    {ROW(set, LN_OPT_PLUGIN), .kind = LN_KIND_DATASET, .fallback = "mnist"},
    {ROW(codec, LN_OPT_PLUGIN), .kind = LN_KIND_CODEC, .fallback = ""},
    {ROW(train, LN_OPT_TABLE), .table = train_options, .fallback = "{}"},
    {ROW(sizes, LN_OPT_INTS), .fallback = "[1, 2]", .min = 1, .max = 9},
    {ROW(weights, LN_OPT_REALS), .fallback = "[]"},
    {ROW(augment, LN_OPT_TEXTS), .fallback = "[crop, flip]", .choices = "crop|flip|cut"},
    {ROW(tags, LN_OPT_TEXTS), .fallback = ""},
    {ROW(devices, LN_OPT_TABLES), .table = device_options, .row_size = sizeof(struct device), .fallback = "[]"},
    {0}};

/* Parses, applies the assignments (ended by NULL) and binds; the code, with the text in fault. */
static int bind(const char *text, const char *const *sets_, struct ln__conf **conf, struct recipe *recipe, struct ln_fault *fault)
{
    *fault = (struct ln_fault){0};
    *conf = NULL;
    int code = ln__conf_parse(text, strlen(text), "r.yaml", conf, fault);
    for (; code == LN_OK && sets_ && *sets_; sets_++)
        code = ln__conf_set(*conf, *sets_, fault);
    if (code == LN_OK)
        code = ln__conf_bind(*conf, &catalog, options, sizeof *recipe, recipe, fault);
    return code;
}

static void defaults(void **state)
{
    (void)state;
    struct ln__conf *conf;
    struct recipe r;
    struct ln_fault fault;
    assert_int_equal(bind("name: a\n", NULL, &conf, &r, &fault), LN_OK);
    assert_string_equal(r.name, "a");
    assert_string_equal(r.note, "");
    assert_ptr_equal(r.model.plugin, &vgg11);
    assert_int_equal(((const struct vgg *)r.model.options)->classes, 10);
    assert_ptr_equal(r.set.plugin, &mnist);
    assert_null(r.set.options);
    assert_null(r.codec.plugin);
    assert_int_equal(r.train.rounds, 10);
    assert_int_equal(r.train.seed, -5);
    assert_true(r.train.rate == 0.1);
    assert_false(r.train.fast);
    assert_int_equal(r.train.norm, 0);
    assert_ptr_equal(r.train.optimizer.plugin, &sgd);
    assert_true(((const struct sgd *)r.train.optimizer.options)->momentum == 0.25);
    assert_true(((const struct sgd *)r.train.optimizer.options)->lr == 0.01);
    assert_int_equal(r.sizes.count, 2);
    assert_int_equal(r.sizes.item[1], 2);
    assert_int_equal(r.weights.count, 0);
    assert_int_equal(r.augment.count, 2);
    assert_string_equal(r.augment.item[1], "flip");
    assert_int_equal(r.tags.count, 0);
    assert_int_equal(r.devices.count, 0);
    ln__conf_free(conf);
}

static const char full[] = "name: \"a b\"\n"
                           "note: |\n"
                           "  two\n"
                           "  lines\n"
                           "model: {name: vgg11, classes: 5}\n"
                           "set: {set: mnist}\n"
                           "codec: {kind: q8, then: {kind: q8, then: none}}\n"
                           "train:\n"
                           "  rounds: 1e3\n"
                           "  seed: -9223372036854775808\n"
                           "  rate: 1e-3\n"
                           "  fast: true\n"
                           "  norm: none\n"
                           "  optimizer: {lr: 0.3}\n"
                           "sizes: 7\n"
                           "weights: [0.5, 2, -1e300]\n"
                           "augment: cut\n"
                           "tags: [x, \"true\", 12, \"\", 'q\"\\']\n"
                           "devices:\n"
                           "  - {profile: rpi4, count: 3, path: 4g}\n"
                           "  - profile: \"null\"\n";

static void check_full(const struct recipe *r)
{
    assert_string_equal(r->name, "a b");
    assert_string_equal(r->note, "two\nlines\n");
    assert_int_equal(((const struct vgg *)r->model.options)->classes, 5);
    assert_ptr_equal(r->set.plugin, &mnist);
    assert_ptr_equal(r->codec.plugin, &q8);
    const struct q8 *then = ((const struct q8 *)r->codec.options)->then.options;
    assert_non_null(then);
    assert_null(then->then.plugin);
    assert_int_equal(r->train.rounds, 1000);
    assert_true(r->train.seed == INT64_MIN);
    assert_true(r->train.rate == 1e-3);
    assert_true(r->train.fast);
    assert_int_equal(r->train.norm, 2);
    assert_true(((const struct sgd *)r->train.optimizer.options)->lr == 0.3);
    assert_true(((const struct sgd *)r->train.optimizer.options)->momentum == 0.25);
    assert_int_equal(r->sizes.count, 1);
    assert_int_equal(r->sizes.item[0], 7);
    assert_int_equal(r->weights.count, 3);
    assert_true(r->weights.item[2] == -1e300);
    assert_int_equal(r->augment.count, 1);
    assert_int_equal(r->tags.count, 5);
    assert_string_equal(r->tags.item[1], "true");
    assert_string_equal(r->tags.item[4], "q\"\\");
    assert_int_equal(r->devices.count, 2);
    const struct device *device = r->devices.item;
    assert_int_equal(device[0].count, 3);
    assert_string_equal(device[0].path, "4g");
    assert_string_equal(device[1].path, "wifi");
    assert_int_equal(device[1].count, 1);
    assert_string_equal(device[1].profile, "null");
}

static void all_types_and_back(void **state)
{
    (void)state;
    struct ln__conf *conf, *again;
    struct recipe r, back;
    struct ln_fault fault;
    int code = bind(full, NULL, &conf, &r, &fault);
    assert_string_equal(fault.text, "");
    assert_int_equal(code, LN_OK);
    check_full(&r);
    struct ln__buf out, out2;
    ln__buf_init(&out, 1 << 20);
    ln__buf_init(&out2, 1 << 20);
    assert_int_equal(ln__conf_print(options, &r, &out), LN_OK);
    code = bind((const char *)out.data, NULL, &again, &back, &fault);
    assert_string_equal(fault.text, "");
    assert_int_equal(code, LN_OK);
    check_full(&back);
    assert_int_equal(ln__conf_print(options, &back, &out2), LN_OK);
    assert_string_equal((const char *)out.data, (const char *)out2.data);
    ln__buf_fini(&out);
    ln__buf_fini(&out2);
    ln__conf_free(conf);
    ln__conf_free(again);
}

static void assignments(void **state)
{
    (void)state;
    struct ln__conf *conf;
    struct recipe r;
    struct ln_fault fault;
    const char *const sets_[] = {"train.rounds=3",
                                 "train.optimizer.lr=0.5",
                                 "devices.0.count=8",
                                 "devices.1={profile: x}",
                                 "codec=q8",
                                 "model.classes=4",
                                 "sizes=[3,4,5]",
                                 "name=b c",
                                 "train.optimizer.lr=0.75",
                                 "tags.0=first",
                                 "augment=[]",
                                 "note=",
                                 NULL};
    int code = bind("name: a\nmodel: vgg11\ntrain: {optimizer: sgd}\ndevices: [{profile: p}]\n", sets_, &conf, &r, &fault);
    assert_string_equal(fault.text, "");
    assert_int_equal(code, LN_OK);
    assert_string_equal(r.name, "b c");
    assert_int_equal(r.train.rounds, 3);
    const struct sgd *o = r.train.optimizer.options;
    assert_true(o->lr == 0.75);
    assert_true(o->momentum == 0); /* the file chose sgd afresh: not the default's 0.25 */
    assert_int_equal(r.devices.count, 2);
    assert_int_equal(((const struct device *)r.devices.item)[0].count, 8);
    assert_int_equal(((const struct vgg *)r.model.options)->classes, 4);
    assert_ptr_equal(r.codec.plugin, &q8);
    assert_int_equal(r.sizes.count, 3);
    assert_int_equal(r.augment.count, 0);
    assert_int_equal(r.tags.count, 1);
    char where[100];
    ln__conf_where(conf, "train.rounds", where, sizeof where);
    assert_string_equal(where, "--set: train.rounds");
    ln__conf_where(conf, "devices.0.profile", where, sizeof where);
    assert_string_equal(where, "r.yaml:4: devices.0.profile");
    ln__conf_where(conf, "train.rate", where, sizeof where);
    assert_string_equal(where, "r.yaml: train.rate (by default)");
    ln__conf_where(conf, "name.x.y", where, 8);
    assert_string_equal(where, "r.yaml:");
    ln__conf_free(conf);
}

/* Each complaint in full: they are what a user reads. */
static const struct {
    const char *text, *set, *complaint;
} wrong[] = {
    {"name: a\ntrain:\n  round: 3\n", NULL, "r.yaml:3: train.round: unknown key; did you mean train.rounds?"},
    {"nmae: a\n", NULL, "r.yaml:1: nmae: unknown key; did you mean name?"},
    {"name: a\ndevices: [{zzzzz: 1}]\n", NULL, "r.yaml:2: devices.0.zzzzz: unknown key; expected one of profile, path, count"},
    {"train: {}\n", NULL, "r.yaml:1: name: missing; expected a text: what to call it"},
    {"", NULL, "r.yaml: name: missing; expected a text: what to call it"},
    {"name: a\ntrain:\n  rounds: many\n", NULL, "r.yaml:3: train.rounds: \"many\" is no integer; expected an integer from 1 to 1000000"},
    {"name: a\ntrain: {rounds: \"3\"}\n", NULL, "r.yaml:2: train.rounds: \"3\" is no integer; expected an integer from 1 to 1000000"},
    {"name: a\ntrain: {rounds: 1.5}\n", NULL, "r.yaml:2: train.rounds: \"1.5\" is no integer; expected an integer from 1 to 1000000"},
    {"name: a\ntrain: {rounds: 0}\n", NULL, "r.yaml:2: train.rounds: \"0\" is out of range; expected an integer from 1 to 1000000"},
    {"name: a\ntrain: {rounds: [1]}\n", NULL, "r.yaml:2: train.rounds: a list given; expected an integer from 1 to 1000000"},
    {"name: a\ntrain: {rounds: }\n", NULL, "r.yaml:2: train.rounds: nothing given; expected an integer from 1 to 1000000"},
    {"name: a\ntrain: {seed: 9223372036854775808}\n", NULL,
     "r.yaml:2: train.seed: \"9223372036854775808\" does not fit 64 bits; expected an integer"},
    {"name: a\ntrain: {rate: nan}\n", NULL, "r.yaml:2: train.rate: \"nan\" is no number; expected a number"},
    {"name: a\ntrain: {rate: 1e999}\n", NULL, "r.yaml:2: train.rate: \"1e999\" is no number; expected a number"},
    {"name: a\ntrain: {rate: 0x10}\n", NULL, "r.yaml:2: train.rate: \"0x10\" is no number; expected a number"},
    {"name: a\ntrain: {fast: yes}\n", NULL, "r.yaml:2: train.fast: \"yes\" is neither; expected true or false"},
    {"name: a\ntrain: {fast: {}}\n", NULL, "r.yaml:2: train.fast: a table given; expected true or false"},
    {"name: a\ntrain: {norm: runing}\n", NULL,
     "r.yaml:2: train.norm: \"runing\" is none of its values; did you mean running? expected one of batch, running, none"},
    {"name: a\ntrain: {norm: [batch]}\n", NULL, "r.yaml:2: train.norm: a list given; expected one of batch, running, none"},
    {"name: [a]\n", NULL, "r.yaml:1: name: a list given; expected a text"},
    {"name: a\ntrain: 3\n", NULL, "r.yaml:2: train: a single value given; expected a table of keys"},
    {"name: a\nsizes: [1, 10]\n", NULL, "r.yaml:2: sizes.1: \"10\" is out of range; expected an integer from 1 to 9"},
    {"name: a\naugment: [crop, flipp]\n", NULL,
     "r.yaml:2: augment.1: \"flipp\" is none of its values; did you mean flip? expected one of crop, flip, cut"},
    {"name: a\ntrain: {optimizer: agd}\n", NULL, "r.yaml:2: train.optimizer: \"agd\" is no optimizer; did you mean sgd? expected one of sgd, adam"},
    {"name: a\ntrain: {optimizer: {kind: zzzz}}\n", NULL, "r.yaml:2: train.optimizer.kind: \"zzzz\" is no optimizer; expected one of sgd, adam"},
    {"name: a\ntrain: {optimizer: []}\n", NULL, "r.yaml:2: train.optimizer: a list given; expected an optimizer: sgd, adam"},
    {"name: a\ntrain: {optimizer: {kind: [sgd]}}\n", NULL, "r.yaml:2: train.optimizer.kind: a list given; expected the name of an optimizer"},
    {"name: a\ntrain: {optimizer: {kind: adam, lr: 1}}\n", NULL, "r.yaml:2: train.optimizer.lr: unknown key; expected one of kind"},
    {"name: a\ntrain: {optimizer: {kind: sgd, lr: 11}}\n", NULL,
     "r.yaml:2: train.optimizer.lr: \"11\" is out of range; expected a number from 0 to 10"},
    {"name: a\ntrain: {optimizer: {kind: sgd, momentum: 0.6}}\n", NULL,
     "r.yaml:2: train.optimizer.momentum: \"0.6\" is out of range; expected a number from 0 to 0.5"},
    {"name: a\ncodec: {then: q8}\n", NULL, "r.yaml:2: codec: no kind given; expected {kind: ...} with a codec: q8"},
    {"name: a\nmodel: vgg11\n", NULL, "r.yaml:2: model.classes: missing; expected an integer from 2 to 1000: how many classes"},
    {"name: a\ndevices: [{count: 2}]\n", NULL, "r.yaml:2: devices.0.profile: missing; expected a text"},
    {"name: a\ndevices: [3]\n", NULL, "r.yaml:2: devices.0: a single value given; expected a table of keys"},
    {"- a\n", NULL, "r.yaml:1: the recipe is a list; expected a table of keys"},
    {"word\n", NULL, "r.yaml:1: the recipe is a single value; expected a table of keys"},
    {"name: a\nname: b\n", NULL, "r.yaml:2: key name is given twice, first in line 1; expected once"},
    {"name: &x a\n", NULL, "r.yaml:1: an anchor (&) is not allowed in a recipe; expected the value itself"},
    {"name: *x\n", NULL, "r.yaml:1: an alias (*) is not allowed in a recipe; expected the value itself"},
    {"*x : a\n", NULL, "r.yaml:1: an alias (*) is not allowed in a recipe; expected a key"},
    {"name: !!str a\n", NULL, "r.yaml:1: a tag (!) is not allowed in a recipe; expected the bare value"},
    {"!a b: a\n", NULL, "r.yaml:1: a tag (!) is not allowed in a recipe; expected the bare value"},
    {"name: a\n---\nname: b\n", NULL, "r.yaml:2: a second document begins; expected one"},
    {"[a]: b\n", NULL, "r.yaml:1: a key is a list or a table; expected a name"},
    {"name: \"a\\0b\"\n", NULL, "r.yaml:1: a text holds a zero byte; expected text without"},
    {"name: a\nx: [1, 2\n", NULL, "r.yaml:3: not YAML at column 1: while parsing a flow sequence, did not find expected ',' or ']'"},
    {"name: \"\\e[31m\"\ntrain: {norm: \"\\e[31m\"}\n", NULL,
     "r.yaml:2: train.norm: \"?[31m\" is none of its values; expected one of batch, running, none"},
    {"name: a\n", "train.round=3", "--set: train.round: unknown key; did you mean train.rounds?"},
    {"name: a\n", "train.rounds=x", "--set: train.rounds: \"x\" is no integer; expected an integer from 1 to 1000000"},
    {"name: a\n", "train.rounds", "--set: \"train.rounds\": no assignment; expected a.b.c=value"},
    {"name: a\n", "=3", "--set: \"=3\": no assignment; expected a.b.c=value"},
    {"name: a\n", "train..rounds=3", "--set: \"train..rounds\": an empty key; expected a.b.c=value"},
    {"name: a\n", "train.rounds=[1", "--set: train.rounds: not YAML at column 1: while parsing a flow sequence, did not find expected ',' or ']'"},
    {"name: a\n", "name.x=1", "--set: name: a table given; expected a text"},
    {"name: a\ndevices: [{profile: p}]\n", "devices.2.count=1",
     "--set: devices.2.count: \"2\" is no item of this list; expected a number from 0 to 1"},
    {"name: a\ndevices:\n- {profile: p, path: lam}\n", NULL,
     "r.yaml:3: devices.0.path: \"lam\" is none of its values; did you mean lan? expected one of 4g, wifi, lan"},
    {"name: a\ntrain: {optimizer: {kind: sgd, lr: 1}}\n", "train.optimizer.kind=adam",
     "r.yaml:2: train.optimizer.lr: unknown key; expected one of kind"},
};

static void complaints(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct ln__conf *conf;
        struct recipe r;
        struct ln_fault fault;
        const char *const one[] = {wrong[i].set, NULL};
        assert_int_equal(bind(wrong[i].text, one, &conf, &r, &fault), LN_ECONFIG);
        assert_string_equal(fault.text, wrong[i].complaint);
        ln__conf_free(conf);
    }
}

static int parse_code(const struct ln__buf *text)
{
    struct ln__conf *conf;
    struct ln_fault fault = {0};
    int code = ln__conf_parse((const char *)text->data, text->size, "r.yaml", &conf, &fault);
    ln__conf_free(conf);
    return code;
}

static void bounds(void **state)
{
    (void)state;
    struct ln__buf text;
    ln__buf_init(&text, 64u << 20);
    for (int depth = 31; depth <= 32; depth++) { /* the table around counts as one */
        ln__buf_clear(&text);
        assert_int_equal(ln__buf_print(&text, "a: "), LN_OK);
        for (int i = 0; i < depth; i++)
            assert_int_equal(ln__buf_print(&text, "["), LN_OK);
        for (int i = 0; i < depth; i++)
            assert_int_equal(ln__buf_print(&text, "]"), LN_OK);
        assert_int_equal(parse_code(&text), depth == 31 ? LN_OK : LN_ECONFIG);
    }
    ln__buf_clear(&text);
    assert_int_equal(ln__buf_print(&text, "a: ["), LN_OK);
    for (int i = 0; i < 100001; i++)
        assert_int_equal(ln__buf_print(&text, "1,"), LN_OK);
    assert_int_equal(ln__buf_print(&text, "]"), LN_OK);
    assert_int_equal(parse_code(&text), LN_ECONFIG);
    ln__buf_clear(&text);
    for (int i = 0; i < 1025; i++)
        assert_int_equal(ln__buf_print(&text, "k%d: 1\n", i), LN_OK);
    assert_int_equal(parse_code(&text), LN_ECONFIG);
    ln__buf_clear(&text);
    unsigned char *at;
    assert_int_equal(ln__buf_room(&text, (16u << 20) + 1, &at), LN_OK);
    memset(at, ' ', (16u << 20) + 1);
    assert_int_equal(parse_code(&text), LN_ECONFIG);
    ln__buf_fini(&text);

    struct loop chosen; /* a plug-in that chooses itself by default never ends */
    struct ln__conf *conf;
    struct ln_fault fault = {0};
    assert_int_equal(ln__conf_parse("", 0, "r.yaml", &conf, &fault), LN_OK);
    assert_int_equal(ln__conf_bind(conf, &catalog, loop_options, sizeof chosen, &chosen, &fault), LN_ECONFIG);
    assert_non_null(strstr(fault.text, "nest more than 32 deep"));
    ln__conf_free(conf);
}

static void nearest(void **state)
{
    (void)state;
    const char *const names[] = {"rounds", "sample", "epochs", "lr"};
    assert_string_equal(ln__conf_nearest("epoch", names, 4), "epochs");
    assert_string_equal(ln__conf_nearest("runods", names, 4), "rounds");
    assert_string_equal(ln__conf_nearest("lrr", names, 4), "lr");
    assert_null(ln__conf_nearest("zzzzzz", names, 4));
    assert_null(ln__conf_nearest("xy", names, 4));
    assert_null(ln__conf_nearest("", names, 4));
    char wide[200] = {0};
    memset(wide, 'r', sizeof wide - 1);
    assert_null(ln__conf_nearest(wide, names, 4));
}

static void schema(void **state)
{
    (void)state;
    struct ln__buf out;
    ln__buf_init(&out, 1 << 20);
    assert_int_equal(ln__conf_schema(&catalog, options, &out), LN_OK);
    const char *text = (const char *)out.data;
    assert_non_null(strstr(text, "name: text; required\n    # what to call it\n"));
    assert_non_null(strstr(text, "  rounds: integer from 1 to 1000000; default 10\n"));
    assert_non_null(strstr(text, "  norm: batch | running | none; default batch\n"));
    assert_non_null(
        strstr(text, "optimizer: how a step changes the weights\n  kind: sgd\n      # plain\n    lr: number from 0 to 10; default 0.01\n"));
    assert_non_null(strstr(text, "codec: a codec (see below)\n"));
    assert_non_null(strstr(text, "  path: 4g | wifi | lan; default wifi\n"));
    ln__buf_fini(&out);
}

/* What is bound from a view lives as long as it does, and leaves the tree as it was. */
static void views(void **state)
{
    (void)state;
    struct ln__conf *conf, *view;
    struct recipe r, again;
    struct ln_fault fault;
    assert_int_equal(bind(full, NULL, &conf, &r, &fault), LN_OK);
    int64_t live = ln__mem_live();
    for (int i = 0; i < 20; i++) {
        assert_int_equal(ln__conf_view(conf, &view, &fault), LN_OK);
        assert_int_equal(ln__conf_bind(view, &catalog, options, sizeof again, &again, &fault), LN_OK);
        check_full(&again);
        assert_ptr_not_equal(again.model.options, r.model.options);
        ln__conf_free(view);
    }
    assert_int_equal(ln__mem_live(), live);
    check_full(&r);
    ln__conf_free(conf);
}

static void from_file(void **state)
{
    (void)state;
    char path[] = "/tmp/linnet-conf-XXXXXX";
    int file = mkstemp(path);
    assert_true(file >= 0);
    assert_int_equal(write(file, full, sizeof full - 1), (ssize_t)sizeof full - 1);
    close(file);
    struct ln__conf *conf;
    struct ln_fault fault = {0};
    struct recipe r;
    assert_int_equal(ln__conf_load(path, &conf, &fault), LN_OK);
    assert_int_equal(ln__conf_bind(conf, &catalog, options, sizeof r, &r, &fault), LN_OK);
    check_full(&r);
    ln__conf_free(conf);
    unlink(path);
    assert_int_equal(ln__conf_load(path, &conf, &fault), LN_ENOENT);
    assert_null(conf);
    assert_non_null(strstr(fault.text, path));
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    int64_t live = ln__mem_live();
    int code = LN_ENOMEM;
    uint64_t nth = 1;
    for (; code != LN_OK; nth++) {
        struct ln__conf *conf;
        struct recipe r;
        struct ln_fault fault;
        const char *const sets_[] = {"train.rounds=3", "codec.kind=q8", NULL};
        ln__mem_fail_at(nth);
        code = bind(full, sets_, &conf, &r, &fault);
        ln__mem_fail_at(0);
        if (code != LN_OK)
            assert_int_equal(code, LN_ENOMEM);
        ln__conf_free(conf);
        assert_true(ln__mem_live() == live);
    }
    assert_true(nth > 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(defaults),    cmocka_unit_test(all_types_and_back),
                                       cmocka_unit_test(assignments), cmocka_unit_test(complaints),
                                       cmocka_unit_test(bounds),      cmocka_unit_test(nearest),
                                       cmocka_unit_test(schema),      cmocka_unit_test(views),
                                       cmocka_unit_test(from_file),   cmocka_unit_test(every_allocation_may_fail)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
