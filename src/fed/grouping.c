#include "fed/grouping.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

double ln__kl_uniform(const double *counts, int classes)
{
    double total = 0, sum = 0;
    for (int i = 0; i < classes; i++)
        total += counts[i] > 0 ? counts[i] : 0;
    if (!(total > 0))
        return log((double)classes);
    for (int i = 0; i < classes; i++) {
        double p = counts[i] > 0 ? counts[i] / total : 0;
        if (p > 0)
            sum += p * log(p * classes);
    }
    return sum > 0 ? sum : 0;
}

double ln__js(const double *a, const double *b, int classes)
{
    double total_a = 0, total_b = 0, sum = 0;
    for (int i = 0; i < classes; i++) {
        total_a += a[i] > 0 ? a[i] : 0;
        total_b += b[i] > 0 ? b[i] : 0;
    }
    if (!(total_a > 0) || !(total_b > 0))
        return 1;
    for (int i = 0; i < classes; i++) {
        double p = a[i] > 0 ? a[i] / total_a : 0, q = b[i] > 0 ? b[i] / total_b : 0;
        double mean = (p + q) / 2;
        if (p > 0)
            sum += p * log(p / mean) / 2;
        if (q > 0)
            sum += q * log(q / mean) / 2;
    }
    sum /= log(2);
    return sum < 0 ? 0 : sum > 1 ? 1 : sum;
}

void ln__labels(const struct ln_run *run, uint32_t client, double *counts)
{
    int classes = ln_run_classes(run);
    ln_run_histogram(run, client, counts);
    for (int i = 0; i < classes; i++) {
        if (!(counts[i] > 0))
            counts[i] = 0;
    }
}

void ln__balance(const struct ln_run *run, uint32_t *list, size_t count, size_t want, const double *all, double *scratch)
{
    int classes = ln_run_classes(run);
    double *joint = scratch, *with = scratch + classes;
    memset(joint, 0, (size_t)classes * sizeof *joint);
    for (size_t chosen = 0; chosen < want && chosen < count; chosen++) {
        size_t best = chosen;
        double least = INFINITY;
        for (size_t i = chosen; i < count && chosen > 0; i++) {
            ln__labels(run, list[i], with);
            for (int c = 0; c < classes; c++)
                with[c] += joint[c];
            double distance = ln__js(with, all, classes);
            if (distance < least) {
                least = distance;
                best = i;
            }
        }
        uint32_t client = list[best];
        list[best] = list[chosen];
        list[chosen] = client;
        ln__labels(run, client, with);
        for (int c = 0; c < classes; c++)
            joint[c] += with[c];
    }
}

/* ---- one-dimensional clusters ---- */

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

struct kmeans {
    const double *sum, *square; /* of the first i values */
    double *before, *now;       /* least cost of the first i values in one cluster less, and in this many */
    uint32_t *cut;              /* where the last cluster begins */
};

static double cost(const struct kmeans *k, size_t from, size_t to)
{
    double n = (double)(to - from), sum = k->sum[to] - k->sum[from];
    double c = k->square[to] - k->square[from] - sum * sum / n;
    return c > 0 ? c : 0;
}

/* now[lo..hi) given that the best cut of each lies in [cut_lo, cut_hi]: the cut never moves left as the end moves right, so halving costs n log n. Depth
 * is log2 n. */
static void halve(const struct kmeans *k, size_t lo, size_t hi, size_t cut_lo, size_t cut_hi)
{
    if (lo >= hi)
        return;
    size_t mid = lo + (hi - lo) / 2, best_cut = cut_lo;
    double best = INFINITY;
    for (size_t j = cut_lo; j <= cut_hi && j < mid; j++) {
        double c = k->before[j] + cost(k, j, mid);
        if (c < best) {
            best = c;
            best_cut = j;
        }
    }
    k->now[mid] = best;
    k->cut[mid] = (uint32_t)best_cut;
    halve(k, lo, mid, cut_lo, best_cut);
    halve(k, mid + 1, hi, best_cut, cut_hi);
}

static void solve(const double *value, size_t n, uint32_t k, double *work, uint32_t *cuts, double *centre)
{
    double *sum = work, *square = sum + n + 1, *before = square + n + 1, *now = before + n + 1;
    sum[0] = square[0] = 0;
    /* Centred, so that squares of large latencies do not swallow small differences. */
    double shift = value[n / 2];
    for (size_t i = 0; i < n; i++) {
        double x = value[i] - shift;
        sum[i + 1] = sum[i] + x;
        square[i + 1] = square[i] + x * x;
    }
    struct kmeans state = {sum, square, before, now, NULL};
    before[0] = 0;
    for (size_t i = 1; i <= n; i++)
        before[i] = cost(&state, 0, i);
    for (uint32_t c = 1; c < k; c++) {
        state.before = before;
        state.now = now;
        state.cut = cuts + (size_t)c * (n + 1);
        /* c clusters need c values before the cut. */
        halve(&state, c + 1, n + 1, c, n - 1);
        double *swap = before;
        before = now;
        now = swap;
    }
    size_t end = n;
    for (uint32_t c = k; c-- > 0;) {
        size_t begin = c ? cuts[(size_t)c * (n + 1) + end] : 0;
        centre[c] = shift + (sum[end] - sum[begin]) / (double)(end - begin);
        end = begin;
    }
}

int ln__kmeans_line(const double *value, size_t count, uint32_t k, double *centre, uint32_t *different)
{
    double *sorted = ln__mem_alloc(count * sizeof *sorted);
    if (!sorted)
        return LN_ENOMEM;
    memcpy(sorted, value, count * sizeof *sorted);
    qsort(sorted, count, sizeof *sorted, by_value);
    uint32_t distinct = 1;
    for (size_t i = 1; i < count && distinct < k; i++)
        distinct += sorted[i] != sorted[i - 1];
    uint32_t used = distinct < k ? distinct : k;
    double *work = ln__mem_alloc(4 * (count + 1) * sizeof *work);
    uint32_t *cuts = ln__mem_zero((size_t)used * (count + 1), sizeof *cuts);
    int error = work && cuts ? LN_OK : LN_ENOMEM;
    if (!error) {
        solve(sorted, count, used, work, cuts, centre);
        for (uint32_t i = used; i < k; i++)
            centre[i] = centre[i % used];
        qsort(centre, k, sizeof *centre, by_value);
        *different = used;
    }
    ln__mem_free(cuts);
    ln__mem_free(work);
    ln__mem_free(sorted);
    return error;
}

/* ---- census ---- */

int ln__census_init(struct ln__census *census, struct ln_run *run, const struct ln__probing *probing)
{
    uint32_t n = ln_run_clients(run);
    *census = (struct ln__census){.clients = n, .probing = *probing};
    census->latency = ln_run_alloc(run, n * sizeof *census->latency);
    census->member = ln_run_alloc(run, n * sizeof *census->member);
    census->chosen = ln_run_alloc(run, n * sizeof *census->chosen);
    if (!census->latency || !census->member || !census->chosen)
        return LN_ENOMEM;
    for (uint32_t i = 0; i < n; i++)
        census->latency[i] = -1;
    return LN_OK;
}

int ln__census_ask(struct ln__census *census, struct ln_run *run, uint32_t client)
{
    bool sent;
    int error = ln__dispatch(run, &(struct ln_order){.kind = LN_TASK_PROBE, .client = client, .deadline_s = census->probing.deadline_s}, &sent);
    census->waiting += sent;
    return error;
}

int ln__census_probe(struct ln__census *census, struct ln_run *run)
{
    const uint32_t *list;
    size_t count = ln_run_available(run, 0, &list);
    /* Dispatching changes the list. */
    if (count > 0)
        memcpy(census->member, list, count * sizeof *list);
    for (size_t i = 0; i < count; i++) {
        if (census->latency[census->member[i]] >= 0)
            continue;
        int error = ln__census_ask(census, run, census->member[i]);
        if (error)
            return error;
    }
    return LN_OK;
}

int ln__census_event(struct ln__census *census, struct ln_run *run, const struct ln_event *event)
{
    if (event->kind == LN_EVENT_ALARM) {
        if (event->tag != LN__CENSUS_TAG)
            return LN_OK;
        census->alarmed = 0;
        return ln__census_probe(census, run);
    }
    if (event->client >= census->clients)
        return LN_OK;
    if (event->kind == LN_EVENT_ROSTER)
        return event->available && census->latency[event->client] < 0 && !ln_run_finished(run) ? ln__census_ask(census, run, event->client) : LN_OK;
    if (event->task_kind != LN_TASK_PROBE)
        return LN_OK;
    if (event->kind != LN_EVENT_DONE && event->kind != LN_EVENT_FAILED && event->kind != LN_EVENT_CANCELLED)
        return LN_OK;
    if (census->waiting > 0)
        census->waiting--;
    if (event->kind == LN_EVENT_DONE && event->estimate_s >= 0 && isfinite(event->estimate_s)) {
        census->known += census->latency[event->client] < 0;
        census->latency[event->client] = event->estimate_s;
    }
    if (census->latency[event->client] >= 0 || census->alarmed || ln_run_finished(run))
        return LN_OK;
    census->alarmed = 1;
    return ln_run_alarm(run, ln_run_now(run) + census->probing.every_s, LN__CENSUS_TAG);
}

void ln__census_archive(struct ln__census *census, struct ln_archive *archive)
{
    ln_archive_u64(archive, &census->waiting);
    ln_archive_u64(archive, &census->known);
    ln_archive_u64(archive, &census->alarmed);
    ln_archive_real(archive, &census->probing.every_s);
    ln_archive_real(archive, &census->probing.deadline_s);
    ln_archive_bytes(archive, census->latency, census->clients * sizeof *census->latency);
}

/* ---- tiers ---- */

struct rank {
    double latency;
    uint32_t client;
};

static int by_latency(const void *a, const void *b)
{
    const struct rank *x = a, *y = b;
    if (x->latency != y->latency)
        return x->latency < y->latency ? -1 : 1;
    return (x->client > y->client) - (x->client < y->client);
}

static int make_tiers(struct ln__tiers *tiers)
{
    struct ln__census *census = &tiers->census;
    struct rank *rank = ln__mem_alloc(census->known * sizeof *rank);
    if (!rank)
        return LN_ENOMEM;
    size_t known = 0;
    for (uint32_t i = 0; i < census->clients; i++) {
        if (census->latency[i] >= 0)
            rank[known++] = (struct rank){census->latency[i], i};
    }
    qsort(rank, known, sizeof *rank, by_latency);
    tiers->count = tiers->asked < known ? tiers->asked : known;
    for (uint64_t t = 0; t < tiers->count; t++) {
        size_t from = known * t / tiers->count, to = known * (t + 1) / tiers->count;
        double sum = 0;
        for (size_t i = from; i < to; i++) {
            tiers->tier_of[rank[i].client] = (uint32_t)t;
            sum += rank[i].latency;
        }
        tiers->size[t] = to - from;
        tiers->latency[t] = sum / (double)(to - from);
    }
    ln__mem_free(rank);
    return LN_OK;
}

static int tiers_init(struct ln__tiers *tiers, struct ln_run *run, const struct ln__probing *probing)
{
    int error = ln__census_init(&tiers->census, run, probing);
    if (error)
        return error;
    tiers->tier_of = ln_run_alloc(run, tiers->census.clients * sizeof *tiers->tier_of);
    if (!tiers->tier_of)
        return LN_ENOMEM;
    for (uint32_t i = 0; i < tiers->census.clients; i++)
        tiers->tier_of[i] = LN__NO_GROUP;
    return LN_OK;
}

int ln__tiers_start(struct ln__tiers *tiers, struct ln_run *run, uint32_t count, const struct ln__probing *probing)
{
    *tiers = (struct ln__tiers){.asked = count};
    int error = tiers_init(tiers, run, probing);
    return error ? error : ln__census_probe(&tiers->census, run);
}

static void join_nearest(struct ln__tiers *tiers, uint32_t client)
{
    uint64_t best = 0;
    double latency = tiers->census.latency[client];
    for (uint64_t t = 1; t < tiers->count; t++) {
        if (fabs(tiers->latency[t] - latency) < fabs(tiers->latency[best] - latency))
            best = t;
    }
    tiers->tier_of[client] = (uint32_t)best;
    tiers->size[best]++;
}

int ln__tiers_event(struct ln__tiers *tiers, struct ln_run *run, const struct ln_event *event)
{
    struct ln__census *census = &tiers->census;
    int error = ln__census_event(census, run, event);
    if (error || event->kind == LN_EVENT_ALARM)
        return error;
    if (tiers->count == 0)
        return census->waiting == 0 && census->known > 0 ? make_tiers(tiers) : LN_OK;
    if (event->client < census->clients && tiers->tier_of[event->client] == LN__NO_GROUP && census->latency[event->client] >= 0)
        join_nearest(tiers, event->client);
    return LN_OK;
}

int ln__tiers_archive(struct ln__tiers *tiers, struct ln_run *run, struct ln_archive *archive)
{
    if (ln_archive_reading(archive)) {
        int error = tiers_init(tiers, run, &tiers->census.probing);
        if (error)
            return error;
    }
    ln__census_archive(&tiers->census, archive);
    ln_archive_u64(archive, &tiers->count);
    ln_archive_u64(archive, &tiers->asked);
    for (int t = 0; t < LN__GROUPS_MAX; t++) {
        ln_archive_real(archive, &tiers->latency[t]);
        ln_archive_u64(archive, &tiers->size[t]);
    }
    ln_archive_bytes(archive, tiers->tier_of, tiers->census.clients * sizeof *tiers->tier_of);
    if (tiers->count > LN__GROUPS_MAX || tiers->asked > LN__GROUPS_MAX)
        return LN_ECORRUPT;
    return LN_OK;
}

size_t ln__of_group(const uint32_t *group_of, const uint32_t *list, size_t count, uint32_t group, uint32_t *out)
{
    size_t n = 0;
    for (size_t i = 0; i < count; i++) {
        if (group_of[list[i]] == group)
            out[n++] = list[i];
    }
    return n;
}

size_t ln__present(struct ln_run *run, const uint32_t *group_of, uint32_t group, uint64_t *round, uint32_t *out)
{
    for (uint64_t ahead = 0; ahead < LN__ROUNDS_AHEAD; ahead++) {
        const uint32_t *list;
        size_t count = ln_run_available(run, (uint32_t)(*round + ahead), &list);
        if (group_of)
            count = ln__of_group(group_of, list, count, group, out);
        else if (count > 0)
            memcpy(out, list, count * sizeof *out);
        if (count == 0)
            continue;
        *round += ahead;
        return count;
    }
    return 0;
}
