#include "api/rundir.h"
#include "base/file.h"
#include "base/log.h"
#include "data/show.h"
#include "store/journal.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define RECIPE_MAX (16u << 20)
#define SHARES_MAX 2000
#define SHARES_BYTES ((size_t)2 << 30)

int ln__rundir_default(const struct ln__recipe *recipe, char *out, size_t room, struct ln_fault *fault)
{
    static const char good[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    size_t size = strlen(recipe->name);
    if (size == 0 || size > 100 || recipe->name[0] == '.' || recipe->name[0] == '-' || strspn(recipe->name, good) != size)
        return ln_fault_set(fault, LN_ECONFIG, "name: \"%.80s\" is no folder's name (letters, digits, '.', '_' and '-'); change it or give --out DIR",
                            recipe->name);
    snprintf(out, room, "runs/%s", recipe->name);
    return LN_OK;
}

/* A recipe that was being written when its run was killed ("recipe.yaml.0a1b2c"): that run had not begun. */
static bool is_half_written(const char *name)
{
    static const char head[] = "recipe.yaml.";
    size_t length = sizeof head - 1;
    return strncmp(name, head, length) == 0 && strlen(name) == length + 6 && strspn(name + length, "0123456789abcdef") == 6;
}

/* Removes half-written recipes, then looks. */
static int is_empty(const char *dir, bool *empty, struct ln_fault *fault)
{
    DIR *folder = opendir(dir);
    *empty = true;
    if (!folder)
        return errno == ENOENT ? LN_OK : ln_fault_errno(fault, "%s: cannot look into it", dir);
    for (struct dirent *entry; (entry = readdir(folder));) {
        bool nothing = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0;
        if (!nothing && is_half_written(entry->d_name))
            nothing = unlinkat(dirfd(folder), entry->d_name, 0) == 0;
        *empty = *empty && nothing;
    }
    closedir(folder);
    return LN_OK;
}

static int remove_one(const char *path, const struct stat *about, int kind, struct FTW *place)
{
    (void)about;
    (void)kind;
    (void)place;
    return remove(path);
}

/* What a run writes: a folder named by mistake keeps the rest. */
static const char *const run_file[] = {"recipe.yaml", "metrics.jsonl",     "trace.jsonl", "summary.json", "shares.json",
                                       "gantt.jsonl", "model.safetensors", "report.html", "leak.json",    "checkpoint"};
#define RUN_FILES (sizeof run_file / sizeof *run_file)

static int remove_tree(const char *dir, const char *name, struct ln_fault *fault)
{
    char path[PATH_MAX];
    if (ln__file_join(path, sizeof path, dir, name) == 0 && nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS) != 0 && errno != ENOENT)
        return ln_fault_errno(fault, "%s: cannot remove", path);
    return LN_OK;
}

static int remove_run(const char *dir, struct ln_fault *fault)
{
    int code = LN_OK;
    for (size_t i = 0; i < RUN_FILES && !code; i++)
        code = remove_tree(dir, run_file[i], fault);
    return code;
}

static int move_run(const char *dir, const char *to, struct ln_fault *fault)
{
    char old[PATH_MAX], new[PATH_MAX];
    for (size_t i = 0; i < RUN_FILES; i++) {
        if (ln__file_join(old, sizeof old, dir, run_file[i]) || ln__file_join(new, sizeof new, to, run_file[i]))
            return ln_fault_set(fault, LN_EINVALID, "%.100s: the path is too long", dir);
        if (rename(old, new) != 0 && errno != ENOENT)
            return ln_fault_errno(fault, "%s: cannot move to %s", old, new);
    }
    return LN_OK;
}

/* Here lies the run before until the one that replaces it has begun. */
#define REPLACED ".replaced"

static bool has(const char *dir, const char *name)
{
    char path[PATH_MAX];
    return ln__file_join(path, sizeof path, dir, name) == 0 && ln__file_exists(path);
}

/* A run's files in it, and the folder where nothing else is in it. */
static int remove_aside(const char *dir, struct ln_fault *fault)
{
    char aside[PATH_MAX];
    if (ln__file_join(aside, sizeof aside, dir, REPLACED))
        return ln_fault_set(fault, LN_EINVALID, "%.100s: the path is too long", dir);
    int code = remove_run(aside, fault);
    if (!code)
        rmdir(aside);
    return code;
}

/* The first line of recipe.yaml: "# linnet 0.1.0, kernels avx512". */
static bool read_kernels(const char *text, char name[32])
{
    return sscanf(text, "# linnet %*[^,], kernels %31[a-z0-9-]", name) == 1;
}

static bool run_wrote(const char *recipe)
{
    char line[128] = "", name[32];
    FILE *file = fopen(recipe, "re");
    bool wrote = file && fgets(line, sizeof line, file) && read_kernels(line, name);
    if (file)
        fclose(file);
    return wrote;
}

static bool same_file(const char *a, const char *b)
{
    struct stat one, other;
    return stat(a, &one) == 0 && stat(b, &other) == 0 && one.st_dev == other.st_dev && one.st_ino == other.st_ino;
}

/* A file of a run's name in the folder that no run wrote, or NULL. A run writes its recipe first. */
static const char *strange_file(const char *dir, const char *recipe)
{
    if (has(dir, "recipe.yaml"))
        return run_wrote(recipe) ? NULL : "recipe.yaml";
    if (has(dir, "metrics.jsonl") || has(dir, "checkpoint"))
        return NULL;
    for (size_t i = 0; i < RUN_FILES; i++) {
        if (has(dir, run_file[i]))
            return run_file[i];
    }
    return NULL;
}

/* Only what a run wrote may be taken away, and not the recipe that the new one is read from. source may be NULL. */
static int check_run(const char *dir, const char *source, struct ln_fault *fault)
{
    char recipe[PATH_MAX];
    if (ln__file_join(recipe, sizeof recipe, dir, "recipe.yaml"))
        return ln_fault_set(fault, LN_EINVALID, "%.100s: the path is too long", dir);
    if (source && same_file(source, recipe))
        return ln_fault_set(fault, LN_ECONFIG, "%s: in the folder whose run --force replaces; expected a recipe that lies elsewhere", source);
    const char *strange = strange_file(dir, recipe);
    return strange ? ln_fault_set(fault, LN_ECONFIG, "%s: holds %s that no run wrote; --force replaces a run only", dir, strange) : LN_OK;
}

/* Takes the lock of whoever runs in the folder, where one ever did: *file is -1 else. */
static int lock_run(const char *dir, int *file, struct ln_fault *fault)
{
    char path[PATH_MAX];
    *file = -1;
    if (ln__file_join(path, sizeof path, dir, "checkpoint/journal"))
        return ln_fault_set(fault, LN_EINVALID, "%.100s: the path is too long", dir);
    *file = open(path, O_RDONLY | O_CLOEXEC);
    if (*file < 0)
        return errno == ENOENT ? LN_OK : ln_fault_errno(fault, "%s: cannot open", path);
    if (flock(*file, LOCK_EX | LOCK_NB) == 0)
        return LN_OK;
    int code = errno == EWOULDBLOCK ? ln_fault_set(fault, LN_EREFUSED, "%s: in use by another process; expected a run that nobody works on", dir)
                                    : ln_fault_errno(fault, "%s: cannot lock", path);
    close(*file);
    *file = -1;
    return code;
}

static void unlock_run(int file)
{
    if (file >= 0)
        close(file);
}

/* Undone where a file cannot be moved: a run in two halves is none. */
static int move_aside(const char *dir, const char *aside, struct ln_fault *fault)
{
    int code = remove_aside(dir, fault);
    if (!code)
        code = ln__file_mkdirs(aside, fault);
    if (!code && (code = move_run(dir, aside, fault)) != LN_OK) {
        if (move_run(aside, dir, NULL) == LN_OK)
            rmdir(aside);
    }
    return code;
}

static int set_aside(const char *dir, const char *source, struct ln_fault *fault)
{
    char aside[PATH_MAX];
    int lock, code = check_run(dir, source, fault);
    if (!code && ln__file_join(aside, sizeof aside, dir, REPLACED))
        code = ln_fault_set(fault, LN_EINVALID, "%.100s: the path is too long", dir);
    if (!code)
        code = lock_run(dir, &lock, fault);
    if (code)
        return code;
    if (has(aside, "recipe.yaml") && !ln__rundir_saved(dir)) /* one that was killed before it began */
        code = remove_run(dir, fault);
    else
        code = move_aside(dir, aside, fault);
    unlock_run(lock);
    return code;
}

static int found_record(void *found, const void *data, size_t size)
{
    (void)data;
    (void)size;
    *(bool *)found = true;
    return LN_OK;
}

bool ln__rundir_saved(const char *dir)
{
    char path[PATH_MAX];
    bool found = false;
    return ln__file_join(path, sizeof path, dir, "checkpoint/journal") == 0 && ln__journal_read(path, found_record, &found, NULL, NULL) == LN_OK &&
           found;
}

/* Bytes of the path that name what is there. */
static size_t standing(const char *dir)
{
    char part[PATH_MAX];
    size_t size = (size_t)snprintf(part, sizeof part, "%s", dir);
    for (; size > 0 && size < sizeof part; size--) {
        if (dir[size] && dir[size] != '/')
            continue;
        part[size] = 0;
        if (ln__file_exists(part))
            break;
    }
    return size;
}

/* The folder and those above it that were made for it, as far as nothing is in them. */
static void remove_made(const struct ln__rundir *folder)
{
    char part[PATH_MAX];
    size_t size = (size_t)snprintf(part, sizeof part, "%s", folder->dir);
    for (; size > folder->stood && size < sizeof part; size--) {
        if (folder->dir[size] && folder->dir[size] != '/')
            continue;
        part[size] = 0;
        rmdir(part);
    }
}

void ln__rundir_undo(const struct ln__rundir *folder)
{
    char aside[PATH_MAX];
    int lock;
    if (lock_run(folder->dir, &lock, NULL))
        return;
    if (remove_run(folder->dir, NULL) == LN_OK && ln__file_join(aside, sizeof aside, folder->dir, REPLACED) == 0) {
        if (has(folder->dir, REPLACED) && move_run(aside, folder->dir, NULL) == LN_OK)
            rmdir(aside);
        remove_made(folder);
    }
    unlock_run(lock);
}

void ln__rundir_begun(const char *dir)
{
    struct ln_fault fault = {0};
    if (has(dir, REPLACED) && ln__rundir_saved(dir) && remove_aside(dir, &fault))
        ln__log(LN__LOG_WARN, "%s", fault.text);
}

/* Keys that say where things lie or how fast, not what is computed. */
static bool may_differ(const char *table, const char *key)
{
    static const struct {
        const char *table, *key;
    } free[] = {{"fleet:", "threads:"}, {"data:", "dir:"}, {"checkpoint:", "every_s:"}};
    for (size_t i = 0; i < sizeof free / sizeof *free; i++) {
        if (strncmp(table, free[i].table, strlen(free[i].table)) == 0 && strncmp(key, free[i].key, strlen(free[i].key)) == 0)
            return true;
    }
    return false;
}

/* Lines of a resolved recipe; table: the last one that is not indented. */
struct lines {
    const char *at, *table;
};

/* The next line that says what is computed. NULL at the end. */
static const char *next_line(struct lines *lines, size_t *size)
{
    while (*lines->at) {
        const char *line = lines->at, *key = line + strspn(line, " ");
        *size = strcspn(line, "\n");
        lines->at = line + *size + (line[*size] == '\n');
        if (key == line)
            lines->table = line;
        if (*key != '#' && *key != '\n' && !may_differ(lines->table, key))
            return line;
    }
    return NULL;
}

static int same_recipe(const char *path, const char *old_text, const char *new_text, struct ln_fault *fault)
{
    struct lines old = {old_text, ""}, new = {new_text, ""};
    for (;;) {
        size_t old_size = 0, new_size = 0;
        const char *old_line = next_line(&old, &old_size), *new_line = next_line(&new, &new_size);
        if (!old_line && !new_line)
            return LN_OK;
        if (!old_line || !new_line || old_size != new_size || memcmp(old_line, new_line, old_size) != 0)
            return ln_fault_set(fault, LN_ECONFIG,
                                "%s: the run there has \"%.*s\" where this recipe has \"%.*s\"; --resume goes on with the same recipe only", path,
                                old_line ? (int)(old_size < 80 ? old_size : 80) : 0, old_line ? old_line : "",
                                new_line ? (int)(new_size < 80 ? new_size : 80) : 0, new_line ? new_line : "");
    }
}

static int adopt_kernels(const char *path, const char *text, const struct ln__kset **kset, struct ln_fault *fault)
{
    char name[32] = "";
    if (!read_kernels(text, name) || strcmp(name, (*kset)->name) == 0)
        return LN_OK;
    const struct ln__kset *set = ln__kset_named(name);
    if (!set)
        return ln_fault_set(fault, LN_EUNSUPPORTED,
                            "%s: the run began with the %s kernels, which this processor or program lacks: its bits cannot be continued here", path,
                            name);
    ln__log(LN__LOG_INFO, "going on with the %s kernels, as the run began", name);
    *kset = set;
    return LN_OK;
}

static int compare_recipe(const char *path, const struct ln__buf *now, const struct ln__kset **kset, struct ln_fault *fault)
{
    struct ln__buf old;
    ln__buf_init(&old, RECIPE_MAX);
    int code = ln__file_read(path, RECIPE_MAX, &old, fault);
    if (!code && ln__buf_add(&old, "", 1))
        code = ln_fault_set(fault, LN_ENOMEM, "%s: no memory to read it", path);
    if (!code)
        code = adopt_kernels(path, (const char *)old.data, kset, fault);
    if (!code)
        code = same_recipe(path, (const char *)old.data, (const char *)now->data, fault);
    ln__buf_fini(&old);
    return code;
}

/* recipe.yaml: written, or compared with the one there. */
static int settle_recipe(struct ln__rundir *folder, const char *path, const struct ln__recipe *recipe, struct ln_fault *fault)
{
    struct ln__buf text;
    int code = LN_OK;
    ln__buf_init(&text, RECIPE_MAX);
    if (!folder->resume) /* the comment's line is skipped in the comparison */
        code = ln__buf_print(&text, "# linnet %s, kernels %s\n", LINNET_VERSION, folder->kset->name);
    if (!code)
        code = ln__conf_print(ln__recipe_options, recipe, &text);
    if (!code && folder->resume)
        code = ln__buf_add(&text, "", 1);
    if (code)
        ln_fault_set(fault, code, "%s: no memory for it", path);
    else if (folder->resume)
        code = compare_recipe(path, &text, &folder->kset, fault);
    else
        code = ln__file_replace(path, &(struct ln__piece){text.data, text.size}, 1, fault);
    ln__buf_fini(&text);
    return code;
}

int ln__rundir_open(struct ln__rundir *folder, enum ln__rundir_mode mode, const struct ln__recipe *recipe, const char *source, struct ln_fault *fault)
{
    bool empty;
    char path[PATH_MAX];
    const char *dir = folder->dir;
    folder->resume = false;
    folder->stood = standing(dir);
    folder->kset = ln__recipe_kset(recipe, folder->kset);
    int code = is_empty(dir, &empty, fault);
    if (!code && ln__file_join(path, sizeof path, dir, "recipe.yaml"))
        code = ln_fault_set(fault, LN_EINVALID, "%.100s: the path is too long", dir);
    if (!code && !empty && mode == LN__RUNDIR_NEW)
        code = ln_fault_set(fault, LN_ECONFIG, "%s: not empty; --resume goes on with the run in it, --force starts anew", dir);
    if (!code && !empty && mode == LN__RUNDIR_FORCE)
        code = set_aside(dir, source, fault);
    if (code)
        return code;
    folder->resume = mode == LN__RUNDIR_RESUME && ln__file_exists(path);
    if (mode == LN__RUNDIR_RESUME && !folder->resume && !empty)
        return ln_fault_set(fault, LN_ENOENT, "%s: no recipe.yaml, so no run to go on with", dir);
    code = ln__file_mkdirs(dir, fault);
    if (code) {
        remove_made(folder);
        return code;
    }
    code = settle_recipe(folder, path, recipe, fault);
    if (code && !folder->resume)
        ln__rundir_undo(folder);
    return code;
}

int ln__rundir_shares(const char *dir, const struct ln__env *env, struct ln_fault *fault)
{
    char path[PATH_MAX];
    struct ln__buf text;
    ln__buf_init(&text, SHARES_BYTES);
    int code = ln__file_join(path, sizeof path, dir, "shares.json") ? ln_fault_set(fault, LN_EINVALID, "%.100s: the path is too long", dir) : LN_OK;
    if (!code)
        code = ln__show_json(&text, &env->set, &env->shares, SHARES_MAX, fault);
    if (!code)
        code = ln__file_replace(path, &(struct ln__piece){text.data, text.size}, 1, fault);
    ln__buf_fini(&text);
    return code;
}
