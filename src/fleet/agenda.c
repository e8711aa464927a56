#include "fleet/agenda.h"

#include "base/mem.h"

static bool before(const struct ln__item *a, const struct ln__item *b)
{
    if (a->time_s != b->time_s)
        return a->time_s < b->time_s;
    return a->rank != b->rank ? a->rank < b->rank : a->number < b->number;
}

static void put(struct ln__agenda *agenda, size_t at, struct ln__item *item)
{
    agenda->item[at] = item;
    item->at[agenda->kind] = at;
}

void ln__agenda_moved(struct ln__agenda *agenda, size_t at)
{
    struct ln__item *item = agenda->item[at];
    while (at > 0 && before(item, agenda->item[(at - 1) / 2])) {
        put(agenda, at, agenda->item[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= agenda->count)
            break;
        child += child + 1 < agenda->count && before(agenda->item[child + 1], agenda->item[child]);
        if (!before(agenda->item[child], item))
            break;
        put(agenda, at, agenda->item[child]);
        at = child;
    }
    put(agenda, at, item);
}

void ln__agenda_remove(struct ln__agenda *agenda, size_t at)
{
    struct ln__item *last = agenda->item[--agenda->count];
    if (at < agenda->count) {
        put(agenda, at, last);
        ln__agenda_moved(agenda, at);
    }
}

int ln__agenda_add(struct ln__agenda *agenda, struct ln__item *item)
{
    struct ln__item **grown = ln__mem_more(agenda->item, agenda->count, &agenda->room, sizeof *grown);
    if (!grown)
        return LN_ENOMEM;
    agenda->item = grown;
    put(agenda, agenda->count++, item);
    ln__agenda_moved(agenda, agenda->count - 1);
    return 0;
}

void ln__item_free(struct ln__item *item)
{
    if (!item)
        return;
    ln__blob_unref(item->task.model);
    ln__blob_unref(item->task.keep);
    ln__blob_unref(item->model);
    ln__result_fini(&item->result);
    ln__mem_free(item);
}
