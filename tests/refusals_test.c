/* What no device may do to a run, whatever the strategy: results that are no numbers, of a version never sent, of a task never given, twice, by nobody, after
 * the end. Each is refused and counted by the loop, and the run is the same as without. */
#include "conformance/federation.h"
#include <math.h>

static const char *const strategies[] = {"fedavg",
                                         "fedprox",
                                         "fedadam",
                                         "fedasync",
                                         "{kind: fedbuff, buffer: 4}",
                                         "{kind: tifl, tiers: 2}",
                                         "{kind: fedat, tiers: 2}",
                                         "astraea",
                                         "{kind: ecofl, groups: 2}"};
#define STRATEGIES (sizeof strategies / sizeof *strategies)

static void recipe_of(char *yaml, size_t room, const char *strategy, const char *train)
{
    int size = snprintf(yaml, room,
                        "model: {name: logreg}\n" FEDERATION_DATA "train: {rounds: 4, sample: 4, batch: 10, %s}\n"
                        "checkpoint: {every_s: 1e9}\nstrategy: %s\n" FEDERATION_FLEET,
                        train, strategy, "0", "0");
    assert_true(size > 0 && (size_t)size < room);
}

/* ---- a fleet that tells every result five times, of which one is true, or takes no update into its sums ---- */

enum { FUTURE, STRANGER, NOBODY, TRUE_ONE, AGAIN, TELLINGS };

struct liar {
    struct ln__fleet_head head;
    const struct ln__fleet_plugin *on;
    struct ln__fleet *inner;
    struct ln__fleet_event real;
    int telling; /* TELLINGS: the next result */
};
static struct ln__fleet_plugin liar_plugin;
static bool lying, refusing, spoiling; /* spoiling: what the first client sends */
static uint64_t lies, dropped;
static double horizon;
static uint64_t in_time, late; /* events before it, and results after it */
static int64_t open_sums, most_sums;

static struct liar *liar_of(struct ln__fleet *fleet)
{
    return (struct liar *)(void *)fleet;
}

static void copy_event(const struct ln__fleet_event *from, struct ln__fleet_event *to)
{
    *to = *from;
    to->result.trace = (struct ln__trace){0};
    ln__blob_ref(to->task.model);
    ln__blob_ref(to->task.keep);
    ln__blob_ref(to->result.update);
    ln__blob_ref(to->result.keep);
}

static void drop_event(struct ln__fleet_event *event)
{
    ln__blob_unref(event->task.model);
    ln__blob_unref(event->task.keep);
    ln__result_fini(&event->result);
}

static int liar_next(struct ln__fleet *fleet, const volatile int *stop, struct ln__fleet_event *event)
{
    struct liar *liar = liar_of(fleet);
    if (liar->telling == TELLINGS) {
        int error = liar->on->next(liar->inner, stop, event);
        in_time += !error && event->time_s <= horizon;
        late += !error && event->time_s > horizon && event->kind == LN_EVENT_DONE;
        if (!error && spoiling && event->kind == LN_EVENT_DONE && event->task.client == 0) {
            ln__result_fini(&event->result);
            event->result.error = LN_EREFUSED;
        }
        if (error || event->kind != LN_EVENT_DONE || !lying)
            return error;
        liar->real = *event;
        liar->telling = 0;
    }
    copy_event(&liar->real, event);
    switch (liar->telling++) {
    case FUTURE:
        event->task.base_version += 1000;
        break;
    case STRANGER:
        event->task.id.value += 1000000;
        break;
    case NOBODY:
        event->task.client = UINT32_MAX;
        break;
    case TRUE_ONE:
        return LN_OK;
    default:
        drop_event(&liar->real);
        break;
    }
    lies++;
    return LN_OK;
}

static void liar_close(struct ln__fleet *fleet)
{
    struct liar *liar = liar_of(fleet);
    if (liar->telling < TELLINGS)
        drop_event(&liar->real);
    liar->on->close(liar->inner);
    ln__mem_free(liar);
}

#define INNER(fleet) liar_of(fleet)->inner
#define ON(fleet) liar_of(fleet)->on
static struct ln__pool *liar_pool(struct ln__fleet *fleet)
{
    return ON(fleet)->pool(INNER(fleet));
}
static int liar_dispatch(struct ln__fleet *fleet, const struct ln__task *task)
{
    return ON(fleet)->dispatch(INNER(fleet), task);
}
static int liar_cancel(struct ln__fleet *fleet, struct ln_task_id id)
{
    return ON(fleet)->cancel(INNER(fleet), id);
}
static int liar_alarm(struct ln__fleet *fleet, double at_s, uint64_t tag)
{
    return ON(fleet)->alarm(INNER(fleet), at_s, tag);
}
static double liar_now(struct ln__fleet *fleet)
{
    return ON(fleet)->now(INNER(fleet));
}
static bool liar_present(struct ln__fleet *fleet, uint32_t client)
{
    return ON(fleet)->present(INNER(fleet), client);
}
static int liar_sum_open(struct ln__fleet *fleet, double bound, struct ln_blob *range_of, struct ln_sum_id id)
{
    open_sums++;
    most_sums = open_sums > most_sums ? open_sums : most_sums;
    return ON(fleet)->sum_open(INNER(fleet), bound, range_of, id);
}
static int liar_sum_add(struct ln__fleet *fleet, struct ln_sum_id id, struct ln_blob *blob, const struct ln__sum_entry *entry)
{
    return refusing && entry->base ? LN_EREFUSED : ON(fleet)->sum_add(INNER(fleet), id, blob, entry);
}
static int liar_sum_close(struct ln__fleet *fleet, struct ln_sum_id id, double divisor, double progress, uint64_t tag)
{
    open_sums--;
    return ON(fleet)->sum_close(INNER(fleet), id, divisor, progress, tag);
}
static int liar_sum_drop(struct ln__fleet *fleet, struct ln_sum_id id)
{
    open_sums--;
    dropped++;
    return ON(fleet)->sum_drop(INNER(fleet), id);
}
static int liar_archive(struct ln__fleet *fleet, struct ln_archive *archive)
{
    return ON(fleet)->archive(INNER(fleet), archive);
}
static double liar_parallelism(struct ln__fleet *fleet)
{
    return ON(fleet)->parallelism(INNER(fleet));
}

static int liar_open(const struct ln__recipe *recipe, const struct ln__env *env, struct ln__fleet **fleet, struct ln_fault *fault)
{
    struct liar *liar = ln__mem_zero(1, sizeof *liar);
    assert_non_null(liar);
    liar->telling = TELLINGS;
    liar->on = (const struct ln__fleet_plugin *)(const void *)recipe->fleet.plugin;
    int error = liar->on->open(recipe->fleet.options, env, &liar->inner, fault);
    liar_plugin = (struct ln__fleet_plugin){.close = liar_close,
                                            .pool = liar_pool,
                                            .dispatch = liar_dispatch,
                                            .cancel = liar_cancel,
                                            .alarm = liar_alarm,
                                            .next = liar_next,
                                            .now = liar_now,
                                            .present = liar_present,
                                            .sum_open = liar_sum_open,
                                            .sum_add = liar_sum_add,
                                            .sum_close = liar_sum_close,
                                            .sum_drop = liar_sum_drop,
                                            .archive = liar_archive,
                                            .parallelism = liar_parallelism};
    liar->head = (struct ln__fleet_head){&liar_plugin, env};
    *fleet = (struct ln__fleet *)(void *)liar;
    return error;
}

static void test_lies_change_nothing(void **state)
{
    (void)state;
    for (size_t i = 0; i < STRATEGIES; i++) {
        char yaml[1024];
        struct federation federation;
        federation_open(&federation);
        recipe_of(yaml, sizeof yaml, strategies[i], "optimizer: {kind: sgd, lr: 0.1}");
        federation_finish(&federation, yaml, NULL);
        float *model = federation.model;
        size_t size = federation.state;
        struct ln__metrics last = federation.last;
        federation.model = NULL;
        federation_clean(&federation);
        lies = 0;
        lying = true;
        refusing = false;
        int error = federation_run_on(&federation, yaml, NULL, 0, liar_open);
        if (error)
            print_error("%s: %s\n", strategies[i], federation.fault.text);
        assert_int_equal(error, 0);
        assert_true(lies >= 30);
        assert_int_equal(last.refused, 0);
        assert_int_equal(federation.last.refused, lies);
        assert_int_equal(federation.last.tasks, last.tasks);
        assert_int_equal(federation.last.bytes_up, last.bytes_up);
        assert_true(federation.last.time_s == last.time_s);
        assert_memory_equal(federation.model, model, size * sizeof *model);
        ln__mem_free(model);
        federation_close(&federation);
    }
}

/* A run that ends at a time: the result that comes next is refused and counted, and the strategy hears of nothing that happens after the end. */
static void test_results_after_the_end_are_refused(void **state)
{
    (void)state;
    lying = refusing = false;
    for (size_t i = 0; i < STRATEGIES; i++) {
        char yaml[1024], set[64];
        struct federation federation;
        uint64_t refused = 0;
        federation_open(&federation);
        recipe_of(yaml, sizeof yaml, strategies[i], "optimizer: {kind: sgd, lr: 0.1}");
        federation_finish(&federation, yaml, NULL);
        double whole = federation.last.time_s;
        for (int quarter = 1; quarter < 4; quarter++) {
            horizon = whole * quarter / 4;
            in_time = late = 0;
            snprintf(set, sizeof set, "stop.time_s=%.17g", horizon);
            federation_clean(&federation);
            int error = federation_run_on(&federation, yaml, set, 0, liar_open);
            if (error)
                print_error("%s: %s\n", strategies[i], federation.fault.text);
            assert_int_equal(error, 0);
            assert_true(federation.last.time_s == horizon);
            assert_int_equal(federation.last.refused, late);
            assert_int_equal(federation.events, in_time);
            refused += late;
        }
        assert_true(refused > 0);
        federation_close(&federation);
    }
}

/* A step that multiplies weights by -999: every result is infinite or no number, or more than the codec can hold. The model stays what it was, and the run
 * comes to an end. */
static void test_no_numbers_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2 * STRATEGIES; i++) {
        char yaml[1024];
        struct federation federation;
        federation_open(&federation);
        recipe_of(yaml, sizeof yaml, strategies[i / 2], "epochs: 20, optimizer: {kind: sgd, lr: 1000, weight_decay: 1}");
        int error = federation_run(&federation, yaml, i % 2 ? "codec.up=f16" : NULL, 5000);
        if (error) {
            assert_int_equal(error, LN_EREFUSED);
            assert_non_null(strstr(federation.fault.text, "trainings have all failed"));
            assert_in_range(federation.last.refused, 48, 200); /* twelve clients */
        }
        assert_true(federation.last.refused >= 4);
        assert_int_equal(federation.last.refused, federation.last.dropped);
        for (size_t k = 0; k < federation.state; k++)
            assert_true(isfinite(federation.model[k]));
        federation_close(&federation);
    }
}

/* Deadlines that nobody meets and devices that all vanish: strategies that wait for results end, and say what it was; also one that was stopped. */
static void test_nothing_ever_comes(void **state)
{
    (void)state;
    static const struct {
        const char *strategy, *failure;
        int error;
        const char *why;
    } hopeless[] = {{"fedasync", "1", LN_EGONE, "48 trainings have all failed"},
                    {"{kind: fedbuff, buffer: 4}", "1", LN_EGONE, "48 trainings have all failed"},
                    {"astraea", "1", LN_EGONE, "48 trainings have all failed"},
                    {"{kind: tifl, tiers: 2}", "1", LN_EGONE, "48 probes have all failed"},
                    {"{kind: ecofl, groups: 2}", "1", LN_EGONE, "48 probes have all failed"},
                    {"{kind: fedat, tiers: 2, probe_deadline_s: 1e-6}", "0", LN_ETIMEOUT, "not answered within the deadline of 1e-06 s"},
                    {"{kind: ecofl, groups: 2, deadline: 1e-3}", "0", LN_ETIMEOUT, "not answered within the deadline of"}};
    for (size_t i = 0; i < sizeof hopeless / sizeof *hopeless; i++) {
        char yaml[1024];
        struct federation federation;
        federation_open(&federation);
        int size = snprintf(yaml, sizeof yaml,
                            "model: {name: logreg}\n" FEDERATION_DATA "train: {rounds: 4, sample: 4, optimizer: {kind: sgd, lr: 0.1}}\n"
                            "strategy: %s\n" FEDERATION_FLEET,
                            hopeless[i].strategy, hopeless[i].failure, hopeless[i].failure);
        assert_true(size > 0 && (size_t)size < sizeof yaml);
        for (uint64_t stop_after = 20; stop_after <= 400; stop_after *= 20) {
            int error = federation_run(&federation, yaml, NULL, stop_after);
            if (error != (stop_after == 20 ? LN_EINTERRUPTED : hopeless[i].error))
                print_error("%s: %s\n", hopeless[i].strategy, federation.fault.text);
            assert_int_equal(error, stop_after == 20 ? LN_EINTERRUPTED : hopeless[i].error);
        }
        assert_non_null(strstr(federation.fault.text, hopeless[i].why));
        federation_close(&federation);
    }
}

/* All are under way at a time; one of them answers within moments, again and again, and is refused. The others are waited for. */
static void test_one_bad_client_ends_nothing(void **state)
{
    (void)state;
    static const char *const waiting[] = {"fedasync", "{kind: fedbuff, buffer: 4}"};
    for (size_t i = 0; i < sizeof waiting / sizeof *waiting; i++) {
        char yaml[1024];
        struct federation federation;
        federation_open(&federation);
        snprintf(yaml, sizeof yaml,
                 "model: {name: logreg}\n" FEDERATION_DATA "train: {rounds: 1, sample: 12, optimizer: {kind: sgd, lr: 0.1}}\nstrategy: %s\n"
                 "fleet: {kind: sim, devices: [{profile: rpi4, count: 1}, {profile: rpi4, extra_s: [100, 101]}]}\n",
                 waiting[i]);
        lying = refusing = false;
        spoiling = true;
        int error = federation_run_on(&federation, yaml, NULL, 0, liar_open);
        spoiling = false;
        if (error)
            print_error("%s: %s\n", waiting[i], federation.fault.text);
        assert_int_equal(error, 0);
        assert_true(federation.last.refused > 100);
        federation_close(&federation);
    }
}

/* Whatever is added is refused: no sum is left behind, the model stays what it was, and the run goes on. */
static void test_sums_without_anything_are_dropped(void **state)
{
    (void)state;
    for (size_t i = 0; i < STRATEGIES; i++) {
        char yaml[1024];
        struct federation federation;
        federation_open(&federation);
        recipe_of(yaml, sizeof yaml, strategies[i], "optimizer: {kind: sgd, lr: 0.1}");
        lying = false;
        refusing = true;
        dropped = 0;
        open_sums = most_sums = 0;
        int error = federation_run_on(&federation, yaml, NULL, 100, liar_open);
        if (error && error != LN_EINTERRUPTED)
            print_error("%s: %s\n", strategies[i], federation.fault.text);
        assert_true(error == LN_OK || error == LN_EINTERRUPTED);
        assert_true(federation.last.tasks >= 16);
        assert_true(most_sums >= 1 && most_sums <= 4 && open_sums <= 2);                       /* of rounds that are under way */
        assert_true(dropped >= 4 || strcmp(strategies[i], "{kind: fedbuff, buffer: 4}") == 0); /* fedbuff's waits for the next update */
        federation_close(&federation);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_lies_change_nothing),
                                       cmocka_unit_test(test_no_numbers_are_refused),
                                       cmocka_unit_test(test_results_after_the_end_are_refused),
                                       cmocka_unit_test(test_nothing_ever_comes),
                                       cmocka_unit_test(test_one_bad_client_ends_nothing),
                                       cmocka_unit_test(test_sums_without_anything_are_dropped)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
