#include "fleet/world.h"

#include <math.h>
#include <stdlib.h>

#include "base/mem.h"

#define AT(member) offsetof(struct ln__device_class, member)

const struct ln_option ln__device_class_options[] = {
    {.key = "profile",
     .type = LN_OPT_TEXT,
     .offset = AT(profile),
     .fallback = "rpi4",
     .choices = "rpi3|rpi4|rpi5|jetson-nano-l|jetson-nano-h|jetson-tx2-q|jetson-tx2-n",
     .help = "the device's speed and power"},
    {.key = "path", .type = LN_OPT_TEXT, .offset = AT(path), .fallback = "wifi", .choices = "4g|4g+|wifi|lan", .help = "its way to the server"},
    {.key = "count",
     .type = LN_OPT_INT,
     .offset = AT(count),
     .fallback = "0",
     .max = 1e9,
     .help = "clients of this class; 0: all that are left over"},
    {.key = "gflops", .type = LN_OPT_REAL, .offset = AT(gflops), .fallback = "0", .max = 1e9, .help = "GFLOP/s in training; 0: the profile's"},
    {.key = "up_mbit", .type = LN_OPT_REAL, .offset = AT(up_mbit), .fallback = "0", .max = 1e9, .help = "Mbit/s to the server; 0: the path's"},
    {.key = "down_mbit", .type = LN_OPT_REAL, .offset = AT(down_mbit), .fallback = "0", .max = 1e9, .help = "Mbit/s from the server; 0: the path's"},
    {.key = "rtt_ms", .type = LN_OPT_REAL, .offset = AT(rtt_ms), .fallback = "-1", .min = -1, .max = 1e7, .help = "round trip; -1: the path's"},
    {.key = "compute_s",
     .type = LN_OPT_REAL,
     .offset = AT(compute_s),
     .fallback = "0",
     .max = 1e9,
     .help = "above 0: computing takes that long an epoch, whatever the work (Eco-FL's setting)"},
    {.key = "extra_s",
     .type = LN_OPT_REALS,
     .offset = AT(extra_s),
     .fallback = "[]",
     .max = 1e9,
     .help = "[least, most]: seconds drawn once a client and added to its every task (FedAT's latency classes)"},
    {.key = "jitter",
     .type = LN_OPT_REAL,
     .offset = AT(jitter),
     .fallback = "0",
     .max = 10,
     .help = "standard deviation of the logarithm of a task's duration"},
    {.key = "failure",
     .type = LN_OPT_REAL,
     .offset = AT(failure),
     .fallback = "0",
     .max = 1,
     .help = "probability that the device vanishes in the middle of a task"},
    {0}};

/* Clients in the order in which classes are dealt: rank[client] < upto[class]. */
struct ln__world {
    const struct ln__env *env;
    const struct ln__world_options *options;
    const struct ln__device_class *class;
    struct ln__place *place; /* [classes] */
    size_t classes;
    uint32_t *upto, *rank; /* rank NULL: the client's own number */
};

enum { ASSIGN_ORDER, ASSIGN_RANDOM, ASSIGN_LABEL };
/* Streams of LN__FOR_WORLD, by the round member of the key; a change of classes at epoch e has WORLD_CHANGE + e. */
enum { WORLD_ASSIGN, WORLD_EXTRA, WORLD_TASK, WORLD_CHANGE };

static struct ln__rng stream(const struct ln__world *world, uint32_t what, uint32_t client)
{
    return ln__rng_at((struct ln__key){.seed = (uint64_t)world->env->recipe->seed, .round = what, .client = client, .purpose = LN__FOR_WORLD});
}

struct labelled {
    uint32_t label, client;
};

static int by_label(const void *left, const void *right)
{
    const struct labelled *a = left, *b = right;
    if (a->label != b->label)
        return a->label < b->label ? -1 : 1;
    return a->client < b->client ? -1 : a->client > b->client;
}

/* Clients sorted by the label they hold most of, so that device classes go along with labels. */
static int rank_by_label(struct ln__world *world, uint32_t clients)
{
    const struct ln__env *env = world->env;
    struct labelled *row = ln__mem_zero(clients, sizeof *row);
    uint32_t *counts = ln__mem_zero((size_t)env->set.classes, sizeof *counts);
    if (row && counts) {
        for (uint32_t k = 0; k < clients; k++) {
            ln__shares_histogram(&env->shares, &env->set.split[LN__TRAIN], env->set.classes, k, counts);
            uint32_t most = 0;
            for (int c = 1; c < env->set.classes; c++)
                most = counts[c] > counts[most] ? (uint32_t)c : most;
            row[k] = (struct labelled){most, k};
        }
        qsort(row, clients, sizeof *row, by_label);
        for (uint32_t at = 0; at < clients; at++)
            world->rank[row[at].client] = at;
    }
    int error = row && counts ? 0 : LN_ENOMEM;
    ln__mem_free(row);
    ln__mem_free(counts);
    return error;
}

static int assign(struct ln__world *world, uint32_t clients, struct ln_fault *fault)
{
    uint64_t given = 0;
    int64_t rest = -1;
    for (size_t i = 0; i < world->classes; i++) {
        given += (uint64_t)world->class[i].count;
        if (world->class[i].count == 0) {
            if (rest >= 0)
                return ln_fault_set(fault, LN_ECONFIG, "fleet.devices: rows %lld and %zu both have count 0; one may take the rest", (long long)rest,
                                    i);
            rest = (int64_t)i;
        }
    }
    if (given > clients || (given < clients && rest < 0))
        return ln_fault_set(fault, LN_ECONFIG, "fleet.devices: the counts add up to %llu, but data.clients is %u", (unsigned long long)given,
                            clients);
    uint32_t upto = 0;
    for (size_t i = 0; i < world->classes; i++) {
        upto += (int64_t)i == rest ? clients - (uint32_t)given : (uint32_t)world->class[i].count;
        world->upto[i] = upto;
    }
    if (world->options->assign == ASSIGN_ORDER)
        return 0;
    world->rank = ln__mem_zero(clients, sizeof *world->rank);
    if (!world->rank)
        return ln_fault_set(fault, LN_ENOMEM, "no memory for %u clients", clients);
    if (world->options->assign == ASSIGN_LABEL)
        return rank_by_label(world, clients);
    for (uint32_t k = 0; k < clients; k++)
        world->rank[k] = k;
    struct ln__rng rng = stream(world, WORLD_ASSIGN, 0);
    ln__rng_shuffle(&rng, world->rank, clients);
    return 0;
}

static int place_of(const struct ln__device_class *class, double server_gflops, struct ln__place *place, struct ln_fault *fault)
{
    const struct ln__device_profile *device = ln__device_profile_named(class->profile);
    const struct ln__path_profile *path = ln__path_profile_named(class->path);
    if (!device || !path)
        return ln_fault_set(fault, LN_ECONFIG, "fleet.devices: there is no %s %s", device ? "path" : "profile",
                            device ? class->path : class->profile);
    if (class->extra_s.count != 0 && (class->extra_s.count != 2 || class->extra_s.item[0] > class->extra_s.item[1]))
        return ln_fault_set(fault, LN_ECONFIG, "fleet.devices: extra_s must be [least, most] seconds");
    *place = (struct ln__place){.gflops = class->gflops > 0 ? class->gflops : device->gflops,
                                .server_gflops = server_gflops,
                                .path = {.up_mbit = class->up_mbit > 0 ? class->up_mbit : path->path.up_mbit,
                                         .down_mbit = class->down_mbit > 0 ? class->down_mbit : path->path.down_mbit,
                                         .rtt_ms = class->rtt_ms >= 0 ? class->rtt_ms : path->path.rtt_ms},
                                .idle_w = device->idle_w,
                                .compute_w = device->compute_w,
                                .network_w = device->network_w};
    if (class->compute_s > 0)
        place->gflops = INFINITY; /* compute_s stands in its place */
    return 0;
}

int ln__world_new(const struct ln__world_options *options, const struct ln__env *env, struct ln__world **out, struct ln_fault *fault)
{
    static const struct ln__device_class everyone = {.profile = "rpi4", .path = "wifi", .rtt_ms = -1};
    *out = NULL;
    struct ln__world *world = ln__mem_zero(1, sizeof *world);
    if (!world)
        return ln_fault_set(fault, LN_ENOMEM, "no memory for the simulated world");
    world->env = env;
    world->options = options;
    world->class = options->devices.count ? options->devices.item : &everyone;
    world->classes = options->devices.count ? options->devices.count : 1;
    world->place = ln__mem_zero(world->classes, sizeof *world->place);
    world->upto = ln__mem_zero(world->classes, sizeof *world->upto);
    int error = world->place && world->upto ? 0 : ln_fault_set(fault, LN_ENOMEM, "no memory for the simulated world");
    if (!error && options->change.every_s > 0 && options->change.every_rounds > 0)
        error = ln_fault_set(fault, LN_ECONFIG, "fleet.change: every_s and every_rounds; one or the other");
    int64_t slots = options->server.slots > 0 ? options->server.slots : env->recipe->train.sample;
    for (size_t i = 0; !error && i < world->classes; i++)
        error = place_of(&world->class[i], options -> server.gflops / (double)slots, &world->place[i], fault);
    if (!error)
        error = assign(world, env->shares.clients, fault);
    if (error) {
        ln__world_free(world);
        return error;
    }
    *out = world;
    return 0;
}

void ln__world_free(struct ln__world *world)
{
    if (!world)
        return;
    ln__mem_free(world->place);
    ln__mem_free(world->upto);
    ln__mem_free(world->rank);
    ln__mem_free(world);
}

/* The last change of class that client was drawn for, up to that moment; 0: none. */
static uint32_t last_change(const struct ln__world *world, uint32_t client, double time_s, double progress, uint32_t *rank)
{
    double every_s = world->options->change.every_s, every_rounds = world->options->change.every_rounds;
    if (!(every_s > 0 || every_rounds > 0) || !(world->options->change.fraction > 0))
        return 0;
    uint32_t epochs = (uint32_t)fmin(every_s > 0 ? time_s / every_s : (progress + 1e-9) / every_rounds, 1e6);
    for (uint32_t epoch = epochs; epoch > 0; epoch--) {
        struct ln__rng rng = stream(world, WORLD_CHANGE + epoch, client);
        if (ln__rng_unit(&rng) < world->options->change.fraction) {
            *rank = ln__rng_below(&rng, world->env->shares.clients);
            return epoch;
        }
    }
    return 0;
}

static size_t class_at(const struct ln__world *world, uint32_t client, double time_s, double progress, uint32_t *change)
{
    uint32_t rank = world->rank ? world->rank[client] : client;
    *change = last_change(world, client, time_s, progress, &rank);
    size_t class = 0;
    while (class + 1 < world->classes && rank >= world->upto[class])
        class ++;
    return class;
}

size_t ln__world_class(const struct ln__world *world, uint32_t client, double time_s, double progress)
{
    uint32_t change;
    return class_at(world, client, time_s, progress, &change);
}

/* What makes a task longer than its trace is at the device's speed: (timeline + compute_s) jitter + extra_s. Computing and jitter lengthen what is done,
 * at the same watts; extra_s is waiting. */
struct longer {
    const struct ln__device_class *class;
    const struct ln__place *place;
    double bare_s, compute_s, jitter, extra_s, takes_s;
    double fails, when; /* drawn with the jitter: whether the device vanishes, and in which part of the task */
};

static void draw_longer(const struct ln__world *world, const struct ln__task *task, uint32_t change, struct longer *longer)
{
    struct ln__rng rng = stream(world, WORLD_TASK, task->client);
    rng.index = (uint64_t)task->turn * 4;
    double normal = ln__rng_normal(&rng);
    longer->fails = ln__rng_unit(&rng);
    longer->when = ln__rng_unit(&rng);
    if (longer->class->jitter > 0)
        longer->jitter = exp(longer->class->jitter * normal);
    if (longer->class->extra_s.count == 2) {
        const double *span = longer->class->extra_s.item;
        struct ln__rng extra = stream(world, WORLD_EXTRA, task->client);
        extra.index = change;
        longer->extra_s = span[0] + (span[1] - span[0]) * ln__rng_unit(&extra);
    }
}

/* ledger: of the trace alone. */
static struct longer longer_of(const struct ln__world *world, const struct ln__task *task, const struct ln__trace *trace, struct ln__ledger *ledger)
{
    uint32_t change;
    size_t at = class_at(world, task->client, task->dispatched_s, task->progress, &change);
    struct longer longer = {.class = &world->class[at], .place = &world->place[at], .jitter = 1, .fails = 1};
    longer.bare_s = ln__timeline(longer.place, trace, ledger);
    if (task->site != LN__SERVER) {
        if (longer.class->compute_s > 0 && ledger->device_macs > 0)
            longer.compute_s = longer.class->compute_s * (task->kind == LN_TASK_TRAIN ? (double)(task->epochs ? task->epochs : 1) : 1);
        draw_longer(world, task, change, &longer);
    }
    longer.takes_s = (longer.bare_s + longer.compute_s) * longer.jitter + longer.extra_s;
    return longer;
}

/* The share of a task that has passed, on the ledger of that share of its trace. */
static void lengthen(const struct longer *longer, double share, struct ln__ledger *ledger)
{
    ledger->device_s += share * longer->compute_s;
    ledger->joules += share * longer->compute_s * longer->place->compute_w;
    double *each[] = {&ledger->device_s, &ledger->up_s, &ledger->down_s, &ledger->server_s, &ledger->idle_s, &ledger->joules};
    for (size_t i = 0; i < sizeof each / sizeof *each; i++)
        *each[i] *= longer->jitter;
    ledger->idle_s += share * longer->extra_s;
    ledger->joules += share * longer->extra_s * longer->place->idle_w;
}

double ln__world_takes(const struct ln__world *world, const struct ln__task *task, const struct ln__trace *trace, struct ln__ledger *ledger,
                       double *fails_s)
{
    struct ln__ledger own;
    const struct longer longer = longer_of(world, task, trace, &own);
    if (fails_s)
        *fails_s = longer.fails < longer.class->failure ? longer.takes_s * (longer.when > 0 ? longer.when : 0.5) : 0;
    lengthen(&longer, 1, &own);
    if (ledger)
        *ledger = own;
    return longer.takes_s;
}

/* What lengthens a task is spread evenly over it. */
void ln__world_spent(const struct ln__world *world, const struct ln__task *task, const struct ln__trace *trace, double until_s,
                     struct ln__ledger *ledger)
{
    const struct longer longer = longer_of(world, task, trace, ledger);
    double share = until_s < longer.takes_s ? until_s / longer.takes_s : 1;
    if (share < 1)
        ln__timeline_until(longer.place, trace, share * longer.bare_s, ledger);
    lengthen(&longer, share, ledger);
}

struct stretched {
    const struct ln__watch *watch;
    double start, factor;
};

static void stretch(void *context, enum ln__lane lane, double from_s, double to_s)
{
    const struct stretched *s = context;
    s->watch->span(s->watch->context, lane, s->start + s->factor * from_s, s->start + s->factor * to_s);
}

/* A fixed computing time is drawn as that of a device of such a speed, extra_s as nothing, at the end. */
void ln__world_spans(const struct ln__world *world, const struct ln__task *task, const struct ln__trace *trace, const struct ln__watch *watch)
{
    struct ln__ledger ledger;
    const struct longer longer = longer_of(world, task, trace, &ledger);
    struct ln__place place = *longer.place;
    if (longer.compute_s > 0)
        place.gflops = 2e-9 * (double)ledger.device_macs / longer.compute_s;
    double bare = ln__timeline(&place, trace, NULL);
    struct stretched s = {.watch = watch, .start = task->dispatched_s, .factor = bare > 0 ? (longer.takes_s - longer.extra_s) / bare : 1};
    ln__timeline_watch(&place, trace, &(struct ln__watch){stretch, &s}, NULL);
}

double ln__world_server_takes(const struct ln__world *world, const struct ln__trace *trace, struct ln__ledger *ledger)
{
    struct ln__place all = world->place[0];
    all.server_gflops = world->options->server.gflops;
    return ln__timeline(&all, trace, ledger);
}
