#include "fed/cohort.h"

int ln__dispatch(struct ln_run *run, const struct ln_order *order, bool *sent)
{
    struct ln_task_id id;
    int error = ln_run_dispatch(run, order, &id);
    *sent = error == LN_OK;
    return error == LN_EINVALID || error == LN_EREFUSED ? LN_OK : error;
}

int ln__cohort_begin(struct ln__cohort *cohort, struct ln_run *run, const struct ln_order *like, const uint32_t *from, size_t from_count, size_t want,
                     uint32_t draw, uint32_t *chosen)
{
    if (ln_run_finished(run))
        return LN_OK;
    size_t count = ln_run_pick(run, draw, from, from_count, want, chosen);
    cohort->picked = cohort->waiting = cohort->folded = cohort->opened = 0;
    cohort->bound = cohort->weight = 0;
    for (size_t i = 0; i < count; i++) {
        struct ln_order order = *like;
        order.kind = LN_TASK_TRAIN;
        order.client = chosen[i];
        order.round = (uint32_t)cohort->round;
        order.model = NULL;
        bool sent;
        int error = ln__dispatch(run, &order, &sent);
        if (error)
            return error;
        if (!sent)
            continue;
        cohort->bound += cohort->uniform ? 1 : ln_run_samples(run, chosen[i]);
        cohort->waiting++;
    }
    if (cohort->waiting == 0)
        return LN_OK;
    cohort->picked = cohort->waiting;
    cohort->version = ln_run_version(run);
    cohort->phase = LN__COHORT_TRAINING;
    cohort->round++;
    return LN_OK;
}

static int fold(struct ln__cohort *cohort, struct ln_run *run, const struct ln_event *event)
{
    /* More samples than the client is known to hold would break the bound. */
    double samples = ln_run_samples(run, event->client);
    if (event->samples < samples)
        samples = event->samples;
    if (!(samples > 0) || !event->update)
        return LN_OK;
    int error = LN_OK;
    if (!cohort->opened) {
        error = ln_run_sum_open(run, cohort->bound, &cohort->sum);
        if (error)
            return error;
        cohort->opened = 1;
    }
    double weight = cohort->uniform ? 1 : samples;
    error = ln_run_sum_add(run, cohort->sum, event->update, weight);
    if (error == LN_EREFUSED)
        return LN_OK;
    if (error)
        return error;
    cohort->weight += weight;
    cohort->folded++;
    return LN_OK;
}

int ln__cohort_take(struct ln__cohort *cohort, struct ln_run *run, const struct ln_event *event, uint64_t tag)
{
    if (cohort->phase != LN__COHORT_TRAINING || cohort->waiting == 0)
        return LN_OK;
    if (event->kind == LN_EVENT_DONE) {
        int error = fold(cohort, run, event);
        if (error)
            return error;
    }
    if (--cohort->waiting > 0)
        return LN_OK;
    if (!cohort->opened) {
        cohort->phase = LN__COHORT_IDLE;
        return LN_OK;
    }
    cohort->opened = 0;
    if (cohort->folded == 0) {
        cohort->phase = LN__COHORT_IDLE;
        return ln_run_sum_drop(run, cohort->sum);
    }
    cohort->phase = LN__COHORT_SUMMING;
    return ln_run_sum_close(run, cohort->sum, cohort->weight, tag);
}

void ln__cohort_archive(struct ln__cohort *cohort, struct ln_archive *archive)
{
    ln_archive_u64(archive, &cohort->phase);
    ln_archive_u64(archive, &cohort->round);
    ln_archive_u64(archive, &cohort->version);
    ln_archive_u64(archive, &cohort->picked);
    ln_archive_u64(archive, &cohort->waiting);
    ln_archive_u64(archive, &cohort->folded);
    ln_archive_u64(archive, &cohort->opened);
    ln_archive_u64(archive, &cohort->sum.value);
    ln_archive_real(archive, &cohort->bound);
    ln_archive_real(archive, &cohort->weight);
}

double ln__cohort_progress(const struct ln__cohort *cohort, const struct ln_run *run)
{
    uint32_t sample = ln_run_sample_size(run);
    return sample ? (double)cohort->picked / sample : 1;
}
