/* The bytes of the five pipelines of EcoFed's Figure 1, at full size: what a task takes at the least, which with codecs of fixed size is what it takes,
 * against the table that follows from the published code. 20 clients a round, 500 samples each, batches of 10. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include "base/file.h"
#include "fed/method.h"
#include "fleet/timeline.h"
#include <math.h>
#include <string.h>

#define SAMPLE 20
static const char recipe_text[] = "model: {name: vgg11}\n"
                                  "data: {set: {kind: synthetic, train: 1000, test: 100}, clients: 2}\n"
                                  "train: {sample: 2, rounds: 2, epochs: 1, batch: 10}\n"
                                  "method: {kind: full}\n";

/* Two rounds of one client in a row. */
struct cost {
    uint64_t bytes;
    double seconds[2][3], serial[2][3], joules[2][3]; /* [server][path]; serial: nothing overlaps */
};
static const double servers[] = {5000, 400}, paths[] = {10, 20, 50}; /* GFLOP/s, shared by the clients of a round; Mbit/s */

static void lay_out(const struct ln__trace *trace, struct cost *cost)
{
    for (int s = 0; s < 2; s++) {
        for (int p = 0; p < 3; p++) {
            const struct ln__device_profile *device = ln__device_profile_named("rpi4");
            const struct ln__place place = {.gflops = device->gflops,
                                            .server_gflops = servers[s] / SAMPLE,
                                            .path = {.up_mbit = paths[p], .down_mbit = paths[p], .rtt_ms = 5},
                                            .idle_w = device->idle_w,
                                            .compute_w = device->compute_w,
                                            .network_w = device->network_w};
            struct ln__ledger ledger;
            cost->seconds[s][p] += ln__timeline(&place, trace, &ledger);
            cost->serial[s][p] += ledger.device_s + ledger.up_s + ledger.down_s + ledger.server_s;
            cost->joules[s][p] += ledger.joules;
        }
    }
}

static struct cost cost_of(const char *model, int classes, const char *method)
{
    struct ln__conf *conf = NULL;
    struct ln__recipe recipe;
    struct ln__blobs *blobs;
    struct ln__env env;
    struct ln_fault fault = {0};
    char set[3][96];
    snprintf(set[0], sizeof set[0], "model.name=%s", model);
    snprintf(set[1], sizeof set[1], "data.set.classes=%d", classes);
    snprintf(set[2], sizeof set[2], "method=%s", method);
    int error = ln__conf_parse(recipe_text, strlen(recipe_text), "ledger.yaml", &conf, &fault);
    for (int i = 0; i < 3 && !error; i++)
        error = ln__conf_set(conf, set[i], &fault);
    if (!error && strcmp(method, "ecofed") == 0)
        error = ln__conf_set(conf, "codec.act=q8", &fault);
    if (!error)
        error = ln__conf_bind(conf, ln_catalog_builtin(), ln__recipe_options, sizeof recipe, &recipe, &fault);
    if (!error)
        error = ln__blobs_open(NULL, 0, &blobs, &fault);
    if (!error)
        error = ln__env_open(&recipe, ln_catalog_builtin(), ln__kset_best(), blobs, &env, &fault);
    if (error)
        print_error("%s\n", fault.text);
    assert_int_equal(error, 0);
    struct cost cost = {0};
    for (uint32_t round = 0; round < 2; round++) {
        struct ln__trace trace = {0};
        struct ln__task task = {.kind = LN_TASK_TRAIN, .site = LN__DEVICE, .round = round, .epochs = 1};
        if (env.method->site)
            task.site = env.method->site(env.method_plan, &env, round > 0, 0, round);
        assert_int_equal(ln__task_foretell(&env, &task, LN__LEAST, &trace), 0);
        for (size_t i = 0; i < trace.count; i++)
            cost.bytes += trace.row[i].times * (trace.row[i].bytes_up + trace.row[i].bytes_down);
        lay_out(&trace, &cost);
        ln__trace_fini(&trace);
    }
    ln__env_close(&env);
    ln__blobs_close(blobs);
    ln__conf_free(conf);
    return cost;
}

/* MiB of one round, mean over two rounds. */
static double round_mib(const char *model, int classes, const char *method)
{
    return SAMPLE * (double)cost_of(model, classes, method).bytes / 2 / (1024 * 1024);
}

static void test_every_cell(void **state)
{
    (void)state;
    static const char *const method[] = {"full", "splitfed", "localloss", "fedgkt", "ecofed"};
    static const struct {
        const char *model;
        int classes;
        double mib[5];
    } table[] = {{"vgg11", 10, {5255.3, 636.7, 336.7, 337.4, 39.1}},
                 {"vgg11", 100, {5311.5, 636.7, 449.2, 456.8, 39.1}},
                 {"resnet9", 10, {1433.7, 636.7, 336.7, 337.4, 39.1}}};
    for (size_t r = 0; r < sizeof table / sizeof *table; r++) {
        double found[5];
        for (int i = 0; i < 5; i++) {
            found[i] = round_mib(table[r].model, table[r].classes, method[i]);
            print_message("%-8s %3d classes  %-10s %8.1f MiB a round, expected %7.1f\n", table[r].model, table[r].classes, method[i], found[i],
                          table[r].mib[i]);
            assert_true(fabs(found[i] / table[r].mib[i] - 1) < 0.01);
        }
        print_message("%-8s %3d classes  to ecofed: %.1f from full, %.2f from splitfed\n", table[r].model, table[r].classes, found[0] / found[4],
                      found[1] / found[4]);
        if (r == 0) {
            assert_true(fabs(found[0] / found[4] - 134.4) < 0.2);
            assert_true(fabs(found[1] / found[4] - 16.28) < 0.02);
        }
    }
}

/* How many times longer a round takes than EcoFed's, on Raspberry Pi 4s, against arithmetic in which nothing overlaps: the paper's 21 (against FL) and 2.86 (against SplitFed) lie between what a large
 * server and a small one give. */
static void test_times(void **state)
{
    (void)state;
    static const char *const method[] = {"full", "splitfed", "localloss", "fedgkt", "ecofed"};
    static const double expected[2][2][3] = {{{60, 44, 30}, {10, 6, 4}}, {{7.6, 5.7, 4.1}, {2.2, 1.7, 1.4}}}; /* [FL, SplitFed][server][path] */
    struct cost cost[5];
    for (int i = 0; i < 5; i++)
        cost[i] = cost_of("vgg11", 10, method[i]);
    for (int s = 0; s < 2; s++) {
        for (int p = 0; p < 3; p++) {
            for (int i = 0; i < 5; i++)
                print_message("server %5.0f GFLOP/s, %2.0f Mbit/s: %-10s %7.1f s and %6.0f J a round and device, %5.2f times EcoFed's time\n",
                              servers[s], paths[p], method[i], cost[i].seconds[s][p] / 2, cost[i].joules[s][p] / 2,
                              cost[i].seconds[s][p] / cost[4].seconds[s][p]);
            for (int i = 0; i < 2; i++) {
                double found = cost[i].serial[s][p] / cost[4].serial[s][p];
                print_message("    without overlap: %s %.1f times, expected %.1f\n", method[i], found, expected[i][s][p]);
                assert_true(fabs(found / expected[i][s][p] - 1) < (s ? 0.15 : 0.03));      /* the small server's were rounded to whole times */
                assert_true(cost[i].seconds[s][p] / cost[4].seconds[s][p] > found * 0.95); /* EcoFed's parts overlap, the others' hardly */
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_cell), cmocka_unit_test(test_times)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
