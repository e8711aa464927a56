#ifdef LINNET_HAVE_MPI

#include "fleet/wire.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"

int ln__wire_init(struct ln_fault *fault)
{
    int done, level;
    MPI_Initialized(&done);
    if (!done && MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &level) != MPI_SUCCESS)
        return ln_fault_set(fault, LN_EIO, "Open MPI cannot be started");
    return LN_OK;
}

struct ln__wire_oath ln__wire_oath(const struct ln__env *env)
{
    struct ln__wire_oath oath;
    memset(&oath, 0, sizeof oath);
    snprintf(oath.kernels, sizeof oath.kernels, "%s", env->kset->name);
    oath.state = env->state;
    oath.clients = env->shares.clients;
    oath.samples = env->shares.start[env->shares.clients];
    oath.seed = (uint64_t)env->recipe->seed;
    return oath;
}

void ln__wire_reap(struct ln__wire_outbox *box, bool all)
{
    for (struct ln__wire_sent **at = &box->first; *at;) {
        int done = 0;
        if (all)
            done = MPI_Wait(&(*at)->request, MPI_STATUS_IGNORE) == MPI_SUCCESS;
        else
            MPI_Test(&(*at)->request, &done, MPI_STATUS_IGNORE);
        if (!done) {
            at = &(*at)->next;
            continue;
        }
        struct ln__wire_sent *gone = *at;
        *at = gone->next;
        ln__mem_free(gone->bytes);
        ln__mem_free(gone);
    }
}

int ln__wire_post(struct ln__wire_outbox *box, int rank, int tag, const struct ln__wire_head *head, const void *const part[4])
{
    size_t size = sizeof *head + head->size[0] + head->size[1] + head->size[2] + head->size[3];
    ln__wire_reap(box, false);
    if (size > INT_MAX)
        return LN_EUNSUPPORTED;
    struct ln__wire_sent *sent = ln__mem_zero(1, sizeof *sent);
    if (sent)
        sent->bytes = ln__mem_alloc(size);
    if (!sent || !sent->bytes) {
        ln__mem_free(sent);
        return LN_ENOMEM;
    }
    unsigned char *at = sent->bytes;
    memcpy(at, head, sizeof *head);
    at += sizeof *head;
    for (int i = 0; i < 4; i++) {
        if (head->size[i])
            memcpy(at, part[i], head->size[i]);
        at += head->size[i];
    }
    MPI_Isend(sent->bytes, (int)size, MPI_BYTE, rank, tag, MPI_COMM_WORLD, &sent->request);
    sent->next = box->first;
    box->first = sent;
    return LN_OK;
}

int ln__wire_receive(int tag, struct ln__buf *buf, struct ln__wire_head *head, const unsigned char *part[4], int *from)
{
    int there = 0, size = 0;
    MPI_Status status;
    MPI_Iprobe(MPI_ANY_SOURCE, tag, MPI_COMM_WORLD, &there, &status);
    if (!there)
        return LN_ENOENT;
    unsigned char *at;
    MPI_Get_count(&status, MPI_BYTE, &size);
    ln__buf_clear(buf);
    if (ln__buf_room(buf, (size_t)size, &at))
        return LN_ENOMEM;
    MPI_Recv(at, size, MPI_BYTE, status.MPI_SOURCE, tag, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    *from = status.MPI_SOURCE;
    if ((size_t)size < sizeof *head)
        return LN_ECORRUPT;
    memcpy(head, at, sizeof *head);
    at += sizeof *head;
    for (int i = 0; i < 4; i++) {
        part[i] = at;
        at += head->size[i];
    }
    return at == buf->data + buf->size ? LN_OK : LN_ECORRUPT;
}

#endif
