/* Folds of a fake run, in units of 2^-32. Included by fake_run.h. */
#ifndef LINNET_TESTS_FAKE_FOLD_H
#define LINNET_TESTS_FAKE_FOLD_H

int ln_run_sum_open(struct ln_run *run, double bound, struct ln_sum_id *sum)
{
    assert_true(bound > 0 && isfinite(bound));
    for (uint64_t i = 0; i < FAKE_SUMS; i++) {
        if (run->sum[i].open)
            continue;
        run->sum[i] = (struct fake_sum){.open = true, .bound = bound};
        sum->value = i;
        run->sums++;
        return LN_OK;
    }
    fail_msg("too many open sums");
    return LN_EBUDGET;
}

int ln_run_sum_add(struct ln_run *run, struct ln_sum_id sum, struct ln_blob *blob, double coefficient)
{
    struct fake_sum *s = &run->sum[sum.value];
    assert_true(s->open);
    if (blob->update && run->refuse_every && ++run->updates % run->refuse_every == 0)
        return LN_EREFUSED;
    s->given += fabs(coefficient);
    assert_true(s->given <= s->bound);
    for (int d = 0; d < FAKE_DIM; d++)
        s->q[d] += (int64_t)rint(blob->x[d] * coefficient * 4294967296.0);
    return LN_OK;
}

int ln_run_sum_close(struct ln_run *run, struct ln_sum_id sum, double divisor, uint64_t tag)
{
    struct fake_sum *s = &run->sum[sum.value];
    assert_true(s->open && divisor > 0);
    double x[FAKE_DIM];
    for (int d = 0; d < FAKE_DIM; d++)
        x[d] = (double)s->q[d] / 4294967296.0 / divisor;
    s->open = false;
    struct ln_event *event = fake_post(run, LN_EVENT_SUM, run->now + run->sum_delay_s);
    event->tag = tag;
    event->sum = sum;
    event->model = fake_blob(run, x, false);
    return LN_OK;
}

int ln_run_sum_drop(struct ln_run *run, struct ln_sum_id sum)
{
    assert_true(run->sum[sum.value].open);
    run->sum[sum.value].open = false;
    return LN_OK;
}

int ln_run_publish(struct ln_run *run, struct ln_blob *model, double progress)
{
    assert_false(ln_run_finished(run));
    assert_false(model->update);
    ln_blob_ref(model);
    ln_blob_unref(run->model);
    run->model = model;
    run->version++;
    run->progress += progress;
    return LN_OK;
}

double ln_run_progress(const struct ln_run *run)
{
    return run->progress;
}

double ln_run_rounds(const struct ln_run *run)
{
    return run->rounds;
}

size_t ln_run_state_size(const struct ln_run *run)
{
    (void)run;
    return FAKE_DIM;
}

size_t ln_run_trainable_size(const struct ln_run *run)
{
    (void)run;
    return FAKE_DIM;
}

#endif
