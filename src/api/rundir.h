/* The folder of a run, as a program sees it: whether one may begin or go on in it, and what is written before the loop has it. */
#ifndef LINNET_API_RUNDIR_H
#define LINNET_API_RUNDIR_H

#include "fed/env.h"

/* runs/<name>. LN_ECONFIG: the name is no folder's name. */
int ln__rundir_default(const struct ln__recipe *recipe, char *out, size_t room, struct ln_fault *fault) LN_MUST_CHECK;

struct ln__rundir {
    const char *dir;
    const struct ln__kset *kset; /* the wanted one; from ln__rundir_open on the one the run has */
    bool resume;                 /* there is a run to go on with */
    size_t stood;                /* bytes of dir that named what was there before */
};

enum ln__rundir_mode { LN__RUNDIR_NEW, LN__RUNDIR_RESUME, LN__RUNDIR_FORCE };
/* Makes the folder and recipe.yaml in it. NEW refuses one that holds anything; FORCE sets an old run's files aside, and only those: it refuses a run that
 * another process works on, files that no run wrote, and a run whose recipe.yaml is the recipe's source (NULL: it has none); RESUME wants the same
 * recipe (threads, folders and the pace of checkpoints may differ), and kset becomes the set the run began with. Nothing to resume is a new run.
 * Failing leaves all as it was. */
int ln__rundir_open(struct ln__rundir *folder, enum ln__rundir_mode mode, const struct ln__recipe *recipe, const char *source,
                    struct ln_fault *fault) LN_MUST_CHECK;

/* Whether there is a checkpoint to go on from. */
bool ln__rundir_saved(const char *dir);

/* After a run that never began: takes its files out of the folder, puts back what FORCE set aside, and removes the folders that were made. */
void ln__rundir_undo(const struct ln__rundir *folder);

/* Where the run is saved, what FORCE set aside is removed. Any number of times. */
void ln__rundir_begun(const char *dir);

/* shares.json: how many samples of each class each client holds; of at most two thousand clients. */
int ln__rundir_shares(const char *dir, const struct ln__env *env, struct ln_fault *fault) LN_MUST_CHECK;

#endif
