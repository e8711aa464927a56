#include "base/text.h"
#include "data/data.h"

/* root/<name>, in which a set lies by convention. */
static int home_of(const struct ln_choice *dataset, const char *dir, char *path, size_t room, struct ln_fault *fault)
{
    if (ln__file_join(path, room, dir, dataset->plugin->name))
        return ln_fault_set(fault, LN_EBUDGET, "%s: the path is too long", dir);
    return 0;
}

int ln__set_get(const struct ln_choice *dataset, const char *dir, struct ln_fault *fault)
{
    const struct ln__dataset *plugin = (const struct ln__dataset *)(const void *)dataset->plugin;
    char home[4096];
    if (!plugin->get)
        return ln_fault_set(fault, LN_EUNSUPPORTED, "%s cannot be fetched: %s", plugin->plugin.name, plugin->source);
    int code = home_of(dataset, dir, home, sizeof home, fault);
    return code ? code : plugin->get(dataset->options, home, fault);
}

/* The names go into every file that a run writes: what they cannot hold is said before the run. */
static int check_names(const struct ln__set *set, struct ln_fault *fault)
{
    for (int k = 0; set->class_name && k < set->classes; k++)
        if (!ln__text_printable(set->class_name[k]))
            return ln_fault_set(fault, LN_ECORRUPT, "%s: the name of class %d, \"%s\", is no printable UTF-8; rename it, or bring the file to UTF-8",
                                set->name, k, ln__shown(set->class_name[k]).text);
    return 0;
}

int ln__set_open(const struct ln_choice *dataset, const char *dir, struct ln__set *out, struct ln_fault *fault)
{
    const struct ln__dataset *plugin = (const struct ln__dataset *)(const void *)dataset->plugin;
    char home[4096];
    *out = (struct ln__set){0};
    int code = home_of(dataset, dir, home, sizeof home, fault);
    if (code)
        return code;
    code = plugin->open(dataset->options, home, out, fault);
    if (code == 0)
        code = check_names(out, fault);
    if (code)
        ln__set_close(out);
    return code;
}

void ln__set_close(struct ln__set *set)
{
    if (set->close)
        set->close(set);
    *set = (struct ln__set){0};
}
