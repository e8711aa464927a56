/* Every optimizer, schedule, sparsity, update and method in a small federation with its default options: it runs and gives the same bits for one and three threads
 * and after a stop, or is refused before the run in a sentence. And every plug-in of any kind: its head and its option table. */
#include "conformance/every.h"
#include "conformance/federation.h"
#include <ctype.h>
#include <math.h>

#define RECIPE                                                                                                                                       \
    "model: {name: cnn5x5}\n"                                                                                                                        \
    "data: {set: {kind: synthetic, channels: 1, height: 8, width: 8, train: 120, test: 40}, clients: 4}\n"                                           \
    "train: {rounds: 3, sample: 2, batch: 10}\n"                                                                                                     \
    "eval: {every: 1}\ncheckpoint: {every_s: 1e9}\n"

static void run_with(const char *key, const struct ln_plugin *plugin)
{
    struct federation federation;
    char set[128];
    federation_open(&federation);
    snprintf(set, sizeof set, "%s={kind: %s}", key, plugin->name);
    char one[2048], three[2048];
    snprintf(one, sizeof one, "%sfleet: {kind: sim, threads: 1}\n", RECIPE);
    snprintf(three, sizeof three, "%sfleet: {kind: sim, threads: 3}\n", RECIPE);
    int error = federation_run(&federation, one, set, 0);
    if (error) {
        assert_true(error == LN_ECONFIG || error == LN_EUNSUPPORTED || error == LN_EINVALID);
        assert_true(federation.fault.text[0] != 0);
        federation_close(&federation);
        return;
    }
    float *model = federation.model;
    size_t state = federation.state;
    struct ln__metrics last = federation.last;
    federation.model = NULL;
    assert_true(last.round >= 3 - 1e-6);
    for (size_t i = 0; i < state; i++)
        assert_true(isfinite(model[i]));
    federation_clean(&federation);
    federation_finish(&federation, three, set);
    assert_memory_equal(federation.model, model, state * sizeof *model);
    federation_clean(&federation);
    while ((error = federation_run(&federation, three, set, 3)) == LN_EINTERRUPTED)
        assert_true(federation.events > 0);
    assert_int_equal(error, 0);
    assert_memory_equal(federation.model, model, state * sizeof *model);
    assert_int_equal(federation.last.bytes_up, last.bytes_up);
    ln__mem_free(model);
    federation_close(&federation);
}

#define RUNS(kind, key)                                                                                                                              \
    static void test_##kind(void **state)                                                                                                            \
    {                                                                                                                                                \
        run_with(key, *state);                                                                                                                       \
    }
RUNS(optimizer, "train.optimizer")
RUNS(schedule, "train.schedule")
RUNS(sparsity, "sparsity")
RUNS(update, "update")
RUNS(method, "method")

static void check_name(const char *name)
{
    assert_true(islower((unsigned char)name[0]));
    for (; *name; name++)
        assert_true(islower((unsigned char)*name) || isdigit((unsigned char)*name) || *name == '_' || *name == '-');
}

static void check_options(const struct ln_option *row)
{
    for (; row && row->type != LN_OPT_END; row++) {
        check_name(row->key);
        assert_non_null(row->help);
        assert_true(row->help[0] && !strchr(row->help, '\n'));
        assert_true(row->min <= row->max);
        if (row->type == LN_OPT_ENUM)
            assert_non_null(row->choices);
        if (row->type == LN_OPT_TABLE || row->type == LN_OPT_TABLES) {
            assert_non_null(row->table);
            check_options(row->table);
        }
    }
}

/* What `linnet list` and `linnet recipe` are made from. */
static void test_heads(void **state)
{
    (void)state;
    const struct ln_catalog *catalog = ln_catalog_builtin();
    for (int kind = 0; kind < LN_KIND_COUNT; kind++) {
        for (size_t i = 0; i < catalog->of[kind].count; i++) {
            const struct ln_plugin *plugin = catalog->of[kind].item[i];
            check_name(plugin->name);
            assert_non_null(plugin->summary);
            assert_true(strlen(plugin->summary) >= 5 && strlen(plugin->summary) <= 150 && !strchr(plugin->summary, '\n'));
            assert_int_equal(plugin->options_size > 0, plugin->options != NULL);
            check_options(plugin->options);
            assert_ptr_equal(ln_catalog_find(catalog, (enum ln_kind)kind, plugin->name), plugin);
            struct every_bound bound;
            struct ln_fault fault = {0};
            if (every_bind((enum ln_kind)kind, plugin->name, "", &bound, &fault))
                assert_non_null(strstr(fault.text, "it.")); /* a key that must be given, by its name */
            every_unbind(&bound);
        }
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_heads)};
    int failed = argc > 1 ? 0 : cmocka_run_group_tests(tests, NULL, NULL);
    const struct {
        enum ln_kind kind;
        CMUnitTestFunction test;
    } of[] = {{LN_KIND_OPTIMIZER, test_optimizer},
              {LN_KIND_SCHEDULE, test_schedule},
              {LN_KIND_SPARSITY, test_sparsity},
              {LN_KIND_UPDATE, test_update},
              {LN_KIND_METHOD, test_method}};
    /* A name is looked for in each of these kinds. */
    bool known[EVERY_MAX] = {false};
    char *wanted[EVERY_MAX];
    for (size_t i = 0; i < sizeof of / sizeof *of; i++) {
        int names = 1;
        for (int k = 1; k < argc && k < EVERY_MAX; k++) {
            if (ln_catalog_find(ln_catalog_builtin(), of[i].kind, argv[k])) {
                known[k] = true;
                wanted[names++] = argv[k];
            }
        }
        if (argc == 1 || names > 1)
            failed += every_plugin(of[i].kind, of[i].test, names, wanted);
    }
    for (int k = 1; k < argc; k++) {
        if (k >= EVERY_MAX || !known[k]) {
            fprintf(stderr, "no plug-in of these kinds is called %s\n", argv[k]);
            failed++;
        }
    }
    return failed != 0;
}
