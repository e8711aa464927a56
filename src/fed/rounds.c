#include "fed/rounds.h"

#define PASSED_OVER 1024 /* rounds without work in a row, after which there is none at all until something happens */

int ln__rounds_begin(struct ln__rounds *rounds, struct ln_run *run, const struct ln_order *like)
{
    size_t want = ln_run_sample_size(run);
    if (rounds->cohort.phase != LN__COHORT_IDLE || ln_run_finished(run))
        return LN_OK;
    if (!rounds->chosen)
        rounds->chosen = ln_run_alloc(run, want * sizeof *rounds->chosen);
    if (!rounds->chosen)
        return LN_ENOMEM;
    for (int i = 0; i < PASSED_OVER && rounds->cohort.phase == LN__COHORT_IDLE; i++) {
        const uint32_t *list;
        size_t count = ln_run_available(run, (uint32_t)rounds->cohort.round, &list);
        if (count == 0) {
            rounds->cohort.round++;
            continue;
        }
        int error = ln__cohort_begin(&rounds->cohort, run, like, list, count, want, (uint32_t)rounds->cohort.round, rounds->chosen);
        if (error)
            return error;
    }
    return LN_OK;
}

int ln__rounds_event(struct ln__rounds *rounds, struct ln_run *run, const struct ln_event *event, struct ln_blob **mean)
{
    struct ln__cohort *cohort = &rounds->cohort;
    *mean = NULL;
    switch (event->kind) {
    case LN_EVENT_DONE:
    case LN_EVENT_FAILED:
    case LN_EVENT_CANCELLED: {
        bool training = cohort->phase == LN__COHORT_TRAINING;
        int error = ln__cohort_take(cohort, run, event, 0);
        if (!error && training && cohort->phase == LN__COHORT_IDLE)
            *mean = ln_run_model(run);
        return error;
    }
    case LN_EVENT_SUM:
        *mean = event->model;
        cohort->phase = LN__COHORT_IDLE;
        return LN_OK;
    default:
        return LN_OK;
    }
}

void ln__rounds_archive(struct ln__rounds *rounds, struct ln_archive *archive)
{
    ln__cohort_archive(&rounds->cohort, archive);
}
