#include "data/names.h"
#include "base/file.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

void ln__names_fini(struct ln__names *names)
{
    for (uint32_t i = 0; i < names->count; i++)
        ln__mem_free(names->name[i]);
    ln__mem_free(names->name);
    *names = (struct ln__names){0};
}

static int add(struct ln__names *names, const char *name)
{
    char **grown = ln__mem_more(names->name, names->count, &names->room, sizeof *grown);
    if (!grown)
        return LN_ENOMEM;
    names->name = grown;
    names->name[names->count] = ln__mem_text(name);
    return names->name[names->count] ? (names->count++, 0) : LN_ENOMEM;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

int ln__names_read(const char *folder, bool (*want)(const char *name), uint32_t max, struct ln__names *out, struct ln_fault *fault)
{
    *out = (struct ln__names){0};
    DIR *open = opendir(folder);
    if (!open)
        return ln_fault_errno(fault, "%s: cannot open the folder", folder);
    int code = 0;
    for (struct dirent *entry; code == 0 && (entry = readdir(open)) != NULL;) {
        char path[4096];
        struct stat about;
        if (entry->d_name[0] == '.' || ln__file_join(path, sizeof path, folder, entry->d_name) || stat(path, &about))
            continue;
        if (want ? !S_ISREG(about.st_mode) || !want(entry->d_name) : !S_ISDIR(about.st_mode))
            continue;
        if (out->count == max)
            code = ln_fault_set(fault, LN_EBUDGET, "%s: more than %u entries", folder, max);
        else if (add(out, entry->d_name))
            code = ln_fault_set(fault, LN_ENOMEM, "%s: no memory for its names", folder);
    }
    closedir(open);
    if (out->count)
        qsort(out->name, out->count, sizeof *out->name, by_name);
    if (code)
        ln__names_fini(out);
    return code;
}

int64_t ln__names_find(const struct ln__names *names, const char *name)
{
    char **at = names->count ? bsearch(&name, names->name, names->count, sizeof *names->name, by_name) : NULL;
    return at ? at - names->name : -1;
}
