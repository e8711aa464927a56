/* Running a federation from a program: a recipe, changed where wanted, run in this process.
 *
 *     load or parse -> set ... -> run (progress after each test) -> figures and the model's weights
 *
 * Several recipes may be run one after another or in different threads. What is printed goes to standard error: warnings only. */
#ifndef LINNET_RUN_H
#define LINNET_RUN_H

#include <linnet/plugin.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A recipe as a tree that is not yet checked: ln_recipe_run does that, against the catalog it is given. */
struct ln_recipe;
int ln_recipe_load(const char *path, struct ln_recipe **out, struct ln_fault *fault) LN_MUST_CHECK;
int ln_recipe_parse(const char *text, struct ln_recipe **out, struct ln_fault *fault) LN_MUST_CHECK;       /* YAML */
int ln_recipe_set(struct ln_recipe *recipe, const char *assignment, struct ln_fault *fault) LN_MUST_CHECK; /* "train.rounds=3" */
void ln_recipe_free(struct ln_recipe *recipe);                                                             /* NULL is fine */

/* Of the newest test. Bytes and tasks are cumulative. */
struct ln_figures {
    double round, time_s, wall_s;                      /* time of the fleet's clock, and of this machine's */
    double accuracy, loss;                             /* on the test split */
    double client_mean, client_median, client_worst10; /* accuracy over clients, with eval.per_client; else 0 */
    uint64_t bytes_up, bytes_down;                     /* payload */
    uint64_t tasks, dropped, refused;
};

struct ln_run_args {
    const struct ln_catalog *catalog; /* NULL: the built-in one */
    const char *dir;                  /* the run's folder, as `linnet run --out` leaves it; NULL: nothing is written */
    bool resume;                      /* go on with the run in dir; without, dir must be empty or absent */
    const volatile int *stop;         /* becomes true, from another thread or a signal: save and return LN_EINTERRUPTED */
    void (*progress)(void *context, const struct ln_figures *now); /* after each test, from the thread that runs; or NULL */
    void *context;
};

struct ln_run_end {
    struct ln_figures figures;
    float *model; /* the newest weights, `state` floats: parameters in the model's order, then buffers; NULL where there are none */
    size_t state;
};

/* Blocks until the run has ended. args NULL: all zero. Whatever is returned, end it by ln_run_end_fini. LN_ECONFIG: the recipe is
 * wrong, the fault says where. LN_EINTERRUPTED: stopped; before the first checkpoint nothing of it is left in dir. */
int ln_recipe_run(const struct ln_recipe *recipe, const struct ln_run_args *args, struct ln_run_end *out, struct ln_fault *fault) LN_MUST_CHECK;
void ln_run_end_fini(struct ln_run_end *end);

#ifdef __cplusplus
}
#endif
#endif
