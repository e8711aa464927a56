#include "base/pool.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <time.h>

#include "base/mem.h"

/* Chunks of a work lie in parts, a range and a counter each. A worker begins with the part of its number and then helps out in the others: so the
 * same chunks of one operator after the other mostly find what they read in the cache of the core that wrote it. Where cores share no cache, another's
 * data come at half the rate, and a counter that all of them change costs each of them some 300 ns a chunk. */
#define PARTS 8
struct part {
    _Alignas(64) atomic_size_t next;
    size_t end;
};

/* One ln__pool_for lives on its caller's stack as a `work` in the pool's list while it has chunks to give away. A helper
 * enters it under the lock, takes chunks by atomic counters, and leaves by its last touch of the work: the decrement of
 * `helpers`. The caller takes the work off the list (nobody enters any more) and waits for helpers to be 0. A thread that
 * waits so runs nothing else: so a worker's scratch memory is never used twice at a time, and waits only ever point
 * inwards, from a chunk to the work it started: no cycle, no deadlock. */
struct work {
    void (*run)(void *context, size_t chunk, unsigned worker);
    void *context;
    unsigned parts;
    struct part part[PARTS];
    atomic_uint helpers;
    struct work *before, *after;
};

enum { JOB_NEW, JOB_QUEUED, JOB_RUNNING, JOB_DONE };

struct ln__pool {
    pthread_mutex_t lock;
    pthread_cond_t posted, finished;
    struct work *work;   /* newest first: the innermost work ends first */
    struct ln__job *job; /* sorted */
    unsigned sleepers;   /* own threads that wait for `posted` */
    bool stop;
    unsigned width, started;
    long spin_ns;
    _Alignas(64) atomic_uint posts;   /* spun upon; grows with each post */
    _Alignas(64) atomic_uint waiters; /* threads that sleep until something is finished */
    pthread_t thread[];
};

#define SPIN_NS 40000
#define SPIN_CROWDED_NS 2000 /* more threads than processors: whoever spins keeps the one waited for from running */

static inline void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* Spins while *word is `same`, for the pool's time; true when it changed. */
static bool spin_while(const struct ln__pool *pool, atomic_uint *word, unsigned same)
{
    int64_t until = 0;
    for (;;) {
        for (int i = 0; i < 16; i++) {
            if (atomic_load_explicit(word, memory_order_acquire) != same)
                return true;
            relax();
        }
        int64_t now = now_ns();
        if (until == 0)
            until = now + pool->spin_ns;
        else if (now >= until)
            return false;
    }
}

static unsigned self_worker(const struct ln__pool *pool)
{
    pthread_t self = pthread_self();
    for (unsigned i = 0; i < pool->started; i++) {
        if (pthread_equal(pool->thread[i], self))
            return i;
    }
    return pool->width - 1;
}

static bool is_open(const struct part *part)
{
    return atomic_load_explicit(&part->next, memory_order_relaxed) < part->end;
}

static void run_chunks(struct work *work, unsigned worker)
{
    for (unsigned k = 0; k < work->parts; k++) {
        struct part *part = &work->part[(worker + k) % work->parts];
        while (is_open(part)) {
            size_t chunk = atomic_fetch_add_explicit(&part->next, 1, memory_order_relaxed);
            if (chunk < part->end)
                work->run(work->context, chunk, worker);
        }
    }
}

/* After a change that a waiter may sleep for. The counterpart of the order in wait_zero and ln__pool_wait: change, then look for waiters there;
 * announce the waiter, then look at the change here. All of it sequentially consistent, so one of the two sees the other. */
static void tell_waiters(struct ln__pool *pool)
{
    if (atomic_load(&pool->waiters) == 0)
        return;
    pthread_mutex_lock(&pool->lock);
    pthread_cond_broadcast(&pool->finished);
    pthread_mutex_unlock(&pool->lock);
}

/* With the lock held; returns with it held. */
static void help(struct ln__pool *pool, struct work *work, unsigned worker)
{
    atomic_fetch_add_explicit(&work->helpers, 1, memory_order_relaxed);
    pthread_mutex_unlock(&pool->lock);
    run_chunks(work, worker);
    if (atomic_fetch_sub(&work->helpers, 1) == 1) /* *work may be gone from here on */
        tell_waiters(pool);
    pthread_mutex_lock(&pool->lock);
}

static void run_job(struct ln__pool *pool, struct ln__job *job, unsigned worker)
{
    pool->job = job->next;
    __atomic_store_n(&job->state, JOB_RUNNING, __ATOMIC_RELAXED);
    pthread_mutex_unlock(&pool->lock);
    job->run(job, worker);
    __atomic_store_n(&job->state, JOB_DONE, __ATOMIC_SEQ_CST); /* *job may be gone from here on */
    tell_waiters(pool);
    pthread_mutex_lock(&pool->lock);
}

static struct work *open_work(const struct ln__pool *pool)
{
    for (struct work *work = pool->work; work; work = work->after) {
        for (unsigned k = 0; k < work->parts; k++) {
            if (is_open(&work->part[k]))
                return work;
        }
    }
    return NULL;
}

static void *thread_main(void *argument)
{
    struct ln__pool *pool = argument;
    pthread_mutex_lock(&pool->lock); /* start() holds it until all ids are known */
    unsigned worker = self_worker(pool);
    while (!pool->stop) {
        struct work *work = open_work(pool);
        if (work) {
            help(pool, work, worker);
            continue;
        }
        if (pool->job) {
            run_job(pool, pool->job, worker);
            continue;
        }
        unsigned seen = atomic_load_explicit(&pool->posts, memory_order_relaxed);
        pthread_mutex_unlock(&pool->lock);
        bool changed = spin_while(pool, &pool->posts, seen);
        pthread_mutex_lock(&pool->lock);
        if (changed)
            continue;
        while (!pool->stop && atomic_load_explicit(&pool->posts, memory_order_relaxed) == seen) {
            pool->sleepers++;
            pthread_cond_wait(&pool->posted, &pool->lock);
            pool->sleepers--;
        }
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

/* With the lock held: wakes as many sleepers as there is work for. */
static void post(struct ln__pool *pool, size_t wanted)
{
    atomic_fetch_add_explicit(&pool->posts, 1, memory_order_release);
    if (wanted >= pool->sleepers) {
        if (pool->sleepers > 0)
            pthread_cond_broadcast(&pool->posted);
        return;
    }
    for (size_t i = 0; i < wanted; i++)
        pthread_cond_signal(&pool->posted);
}

/* Starts the threads with the signals that come from outside blocked: those are for the program's own threads. */
static int start(struct ln__pool *pool)
{
    static const int own[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP};
    sigset_t all, before;
    sigfillset(&all);
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++)
        sigdelset(&all, own[i]);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_mutex_lock(&pool->lock);
    int failed = 0;
    while (!failed && pool->started < pool->width - 1) {
        failed = pthread_create(&pool->thread[pool->started], NULL, thread_main, pool);
        pool->started += !failed;
    }
    pthread_mutex_unlock(&pool->lock);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return failed;
}

int ln__pool_new(unsigned width, struct ln__pool **out)
{
    *out = NULL;
    if (width < 1 || width > 256)
        return LN_EINVALID;
    struct ln__pool *pool = ln__mem_zero(1, sizeof *pool + width * sizeof pool->thread[0]);
    if (!pool)
        return LN_ENOMEM;
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_ADAPTIVE_NP); /* held for some tens of ns only */
    pthread_mutex_init(&pool->lock, &attributes);
    pthread_mutexattr_destroy(&attributes);
    pthread_cond_init(&pool->posted, NULL);
    pthread_cond_init(&pool->finished, NULL);
    cpu_set_t set;
    unsigned processors = sched_getaffinity(0, sizeof set, &set) == 0 ? (unsigned)CPU_COUNT(&set) : 1;
    pool->spin_ns = width <= processors ? SPIN_NS : SPIN_CROWDED_NS;
    pool->width = width;
    if (start(pool)) {
        ln__pool_free(pool);
        return LN_ENOMEM;
    }
    *out = pool;
    return LN_OK;
}

void ln__pool_free(struct ln__pool *pool)
{
    if (!pool)
        return;
    pthread_mutex_lock(&pool->lock);
    pool->stop = true;
    while (pool->job) {
        struct ln__job *job = pool->job;
        pool->job = job->next;
        __atomic_store_n(&job->state, JOB_DONE, __ATOMIC_SEQ_CST);
    }
    atomic_fetch_add(&pool->posts, 1);
    pthread_cond_broadcast(&pool->posted);
    pthread_mutex_unlock(&pool->lock);
    for (unsigned i = 0; i < pool->started; i++)
        pthread_join(pool->thread[i], NULL);
    pthread_cond_destroy(&pool->posted);
    pthread_cond_destroy(&pool->finished);
    pthread_mutex_destroy(&pool->lock);
    ln__mem_free(pool);
}

unsigned ln__pool_width(const struct ln__pool *pool)
{
    return pool ? pool->width : 1;
}

static void wait_zero(struct ln__pool *pool, atomic_uint *helpers)
{
    int64_t until = 0;
    for (;;) {
        for (int i = 0; i < 16; i++) {
            if (atomic_load_explicit(helpers, memory_order_acquire) == 0)
                return;
            relax();
        }
        int64_t now = now_ns();
        if (until == 0)
            until = now + pool->spin_ns;
        else if (now >= until)
            break;
    }
    pthread_mutex_lock(&pool->lock);
    atomic_fetch_add(&pool->waiters, 1);
    while (atomic_load(helpers) != 0)
        pthread_cond_wait(&pool->finished, &pool->lock);
    atomic_fetch_sub(&pool->waiters, 1);
    pthread_mutex_unlock(&pool->lock);
}

void ln__pool_for(struct ln__pool *pool, size_t chunks, void (*run)(void *context, size_t chunk, unsigned worker), void *context)
{
    unsigned worker = pool ? self_worker(pool) : 0;
    if (!pool || pool->width == 1 || chunks <= 1) {
        for (size_t chunk = 0; chunk < chunks; chunk++)
            run(context, chunk, worker);
        return;
    }
    struct work work = {.run = run, .context = context, .parts = pool->width < PARTS ? pool->width : PARTS};
    for (unsigned k = 0; k < work.parts; k++) {
        atomic_init(&work.part[k].next, chunks * k / work.parts);
        work.part[k].end = chunks * (k + 1) / work.parts;
    }
    pthread_mutex_lock(&pool->lock);
    work.after = pool->work;
    if (work.after)
        work.after->before = &work;
    pool->work = &work;
    post(pool, chunks - 1);
    pthread_mutex_unlock(&pool->lock);

    run_chunks(&work, worker);

    pthread_mutex_lock(&pool->lock);
    if (work.before)
        work.before->after = work.after;
    else
        pool->work = work.after;
    if (work.after)
        work.after->before = work.before;
    pthread_mutex_unlock(&pool->lock);
    wait_zero(pool, &work.helpers);
}

static bool goes_before(const struct ln__job *a, const struct ln__job *b)
{
    return a->order < b->order || (a->order == b->order && a->tie < b->tie);
}

void ln__pool_submit(struct ln__pool *pool, struct ln__job *job)
{
    job->next = NULL;
    if (!pool || pool->width == 1) { /* no threads of its own */
        __atomic_store_n(&job->state, JOB_RUNNING, __ATOMIC_RELAXED);
        job->run(job, 0);
        __atomic_store_n(&job->state, JOB_DONE, __ATOMIC_SEQ_CST);
        return;
    }
    pthread_mutex_lock(&pool->lock);
    __atomic_store_n(&job->state, JOB_QUEUED, __ATOMIC_RELAXED);
    struct ln__job **at = &pool->job;
    while (*at && !goes_before(job, *at))
        at = &(*at)->next;
    job->next = *at;
    *at = job;
    post(pool, 1);
    pthread_mutex_unlock(&pool->lock);
}

bool ln__pool_cancel(struct ln__pool *pool, struct ln__job *job)
{
    if (!pool || pool->width == 1)
        return false;
    bool found = false;
    pthread_mutex_lock(&pool->lock);
    for (struct ln__job **at = &pool->job; *at; at = &(*at)->next) {
        if (*at == job) {
            *at = job->next;
            __atomic_store_n(&job->state, JOB_DONE, __ATOMIC_SEQ_CST);
            found = true;
            break;
        }
    }
    if (found)
        pthread_cond_broadcast(&pool->finished);
    pthread_mutex_unlock(&pool->lock);
    return found;
}

bool ln__pool_done(struct ln__pool *pool, const struct ln__job *job)
{
    (void)pool;
    return __atomic_load_n(&job->state, __ATOMIC_ACQUIRE) == JOB_DONE;
}

void ln__pool_wait(struct ln__pool *pool, const struct ln__job *job)
{
    if (ln__pool_done(pool, job) || !pool)
        return;
    pthread_mutex_lock(&pool->lock);
    atomic_fetch_add(&pool->waiters, 1);
    while (__atomic_load_n(&job->state, __ATOMIC_SEQ_CST) != JOB_DONE)
        pthread_cond_wait(&pool->finished, &pool->lock);
    atomic_fetch_sub(&pool->waiters, 1);
    pthread_mutex_unlock(&pool->lock);
}
