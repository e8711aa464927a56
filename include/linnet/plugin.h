/* Plug-ins and their options. Every choice of a recipe (a model, a strategy, a codec, ...) is a plug-in: a constant
 * struct that begins with struct ln_plugin. Its option table says which keys the recipe may hold, so that reading,
 * checking, defaults, the printed schema and the resolved recipe need no code of the plug-in's own.
 *
 * A table is an array ended by {0}. Each row names a key and the member of the options struct that holds its value:
 *
 *     struct fedprox_options { double mu; };
 *     static const struct ln_option fedprox_options[] = {
 *         {.key = "mu", .type = LN_OPT_REAL, .offset = offsetof(struct fedprox_options, mu), .fallback = "0.01", .min = 0, .max = 1e6,
 *          .help = "weight of the proximal term"},
 *         {0}};
 */
#ifndef LINNET_PLUGIN_H
#define LINNET_PLUGIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <linnet/error.h>

#ifdef __cplusplus
extern "C" {
#endif

#define LN_KINDS(X)                                                                                                                                  \
    X(MODEL, "model", "the network that is trained")                                                                                                 \
    X(OPTIMIZER, "optimizer", "how a step changes the weights")                                                                                      \
    X(SCHEDULE, "schedule", "how the learning rate moves over the rounds")                                                                           \
    X(SPARSITY, "sparsity", "which weights and activations take part in a step")                                                                     \
    X(DATASET, "dataset", "what is learnt from")                                                                                                     \
    X(PARTITION, "partition", "who holds which samples")                                                                                             \
    X(CODEC, "codec", "how tensors become bytes")                                                                                                    \
    X(UPDATE, "update", "which entries of a result are sent")                                                                                        \
    X(METHOD, "method", "which layers train where, and what crosses")                                                                                \
    X(STRATEGY, "strategy", "who trains when, how results become the model")                                                                         \
    X(FLEET, "fleet", "the place, and whose clock")

enum ln_kind {
#define LN_KIND_ENUM(name, text, help) LN_KIND_##name,
    LN_KINDS(LN_KIND_ENUM)
#undef LN_KIND_ENUM
        LN_KIND_COUNT
};

enum ln_option_type {
    LN_OPT_END,    /* ends a table */
    LN_OPT_INT,    /* int64_t */
    LN_OPT_REAL,   /* double */
    LN_OPT_BOOL,   /* bool */
    LN_OPT_TEXT,   /* const char *, lives as long as the recipe; "" by default */
    LN_OPT_ENUM,   /* int: the index in choices, "a|b|c" */
    LN_OPT_INTS,   /* struct ln_ints; a single number is a list of one */
    LN_OPT_REALS,  /* struct ln_reals */
    LN_OPT_TEXTS,  /* struct ln_texts; checked against choices where given */
    LN_OPT_PLUGIN, /* struct ln_choice: of .kind; a bare name is short for {kind: name} */
    LN_OPT_TABLE,  /* a struct of its own, described by .table */
    LN_OPT_TABLES  /* struct ln_rows: a list of such structs, each .row_size bytes */
};

struct ln_ints {
    const int64_t *item;
    size_t count;
};
struct ln_reals {
    const double *item;
    size_t count;
};
struct ln_texts {
    const char *const *item;
    size_t count;
};
struct ln_rows {
    const void *item;
    size_t count;
};

struct ln_plugin;

/* A plug-in with its options, bound from the recipe. */
struct ln_choice {
    const struct ln_plugin *plugin;
    const void *options; /* the struct that plugin->options describes; NULL where the plug-in has none */
};

struct ln_option {
    const char *key;
    enum ln_option_type type;
    size_t offset;                 /* of the member in the options struct */
    const char *fallback;          /* default, as YAML; NULL: the key must be given */
    double min, max;               /* inclusive range of numbers; both 0: any */
    const char *choices;           /* LN_OPT_ENUM, and where it is given LN_OPT_TEXT and LN_OPT_TEXTS: "a|b|c" */
    enum ln_kind kind;             /* LN_OPT_PLUGIN */
    const struct ln_option *table; /* LN_OPT_TABLE(S) */
    size_t row_size;               /* LN_OPT_TABLE(S): sizeof the struct */
    const char *help;              /* half a sentence with the unit, and where a default comes from a paper, which */
};

/* The head of every plug-in. Constant, shared by all threads. */
struct ln_plugin {
    const char *name;                /* as in the recipe: lower case, digits, _ and - */
    const char *summary;             /* one line for `linnet list` */
    const struct ln_option *options; /* or NULL */
    size_t options_size;             /* sizeof the options struct; 0 without options */
};

/* The plug-ins that exist, by kind. The built-in one is made by the build from the folders; a program may copy it and add
 * its own rows. Reading it needs no lock: it never changes while in use. */
struct ln_catalog {
    struct {
        const struct ln_plugin *const *item;
        size_t count;
    } of[LN_KIND_COUNT];
};

const struct ln_catalog *ln_catalog_builtin(void);
const char *ln_kind_name(enum ln_kind kind);
const char *ln_kind_help(enum ln_kind kind);

/* The plug-in of that name, or NULL. */
const struct ln_plugin *ln_catalog_find(const struct ln_catalog *catalog, enum ln_kind kind, const char *name);

#ifdef __cplusplus
}
#endif
#endif
