#include "fleet/timeline.h"

#include <math.h>
#include <string.h>

struct clockwork {
    double device, up_free, server_free; /* when each is free */
    double until;                        /* what comes later is not in the ledger */
    struct ln__ledger ledger;
    const struct ln__watch *watch;
};

static void span(const struct clockwork *at, enum ln__lane lane, double end, double took)
{
    if (at->watch && took > 0)
        at->watch->span(at->watch->context, lane, end - took, end);
}

static double work_s(uint64_t macs, double gflops)
{
    return macs ? 2.0 * (double)macs / (gflops * 1e9) : 0;
}

static double transfer_s(uint64_t bytes, double mbit)
{
    return bytes ? 8.0 * (double)bytes / (mbit * 1e6) : 0;
}

/* The part, 0 to 1, of what begins then and takes so long that is in the ledger. */
static double part(const struct clockwork *at, double from, double took)
{
    if (took > 0)
        return fmax(0, fmin(1, (at->until - from) / took));
    return from <= at->until;
}

static uint64_t whole(double part, uint64_t count)
{
    return part < 1 ? (uint64_t)(part * (double)count) : count;
}

static void idle(struct clockwork *at, double from, double took)
{
    at->ledger.idle_s += took * part(at, from, took);
}

/* Queues a row's bytes on the uplink from now on; returns when the server has them. */
static double send_up(struct clockwork *at, const struct ln__place *place, const struct ln__trace_row *row)
{
    double took = transfer_s(row->wire_up, place->path.up_mbit), from = fmax(at->device, at->up_free), done = part(at, from, took);
    at->up_free = from + took;
    at->ledger.up_s += took * done;
    at->ledger.bytes_up += whole(done, row->bytes_up);
    at->ledger.wire_up += whole(done, row->wire_up);
    span(at, LN__LANE_UP, at->up_free, took);
    return at->up_free + place->path.rtt_ms / 2e3;
}

static double serve(struct clockwork *at, const struct ln__place *place, double from, uint64_t macs)
{
    double took = work_s(macs, place->server_gflops), begins = fmax(at->server_free, from), done = part(at, begins, took);
    at->server_free = begins + took;
    at->ledger.server_s += took * done;
    at->ledger.server_macs += whole(done, macs);
    span(at, LN__LANE_SERVER, at->server_free, took);
    return at->server_free;
}

/* A row's bytes come down from then on; the device waits for them. */
static void bring_down(struct clockwork *at, const struct ln__place *place, double from, const struct ln__trace_row *row)
{
    double took = transfer_s(row->wire_down, place->path.down_mbit), done = part(at, from, took);
    at->device = from + took;
    at->ledger.down_s += took * done;
    at->ledger.bytes_down += whole(done, row->bytes_down);
    at->ledger.wire_down += whole(done, row->wire_down);
    span(at, LN__LANE_DOWN, at->device, took);
}

static void step(struct clockwork *at, const struct ln__place *place, const struct ln__trace_row *row)
{
    double half_rtt = place->path.rtt_ms / 2e3, took, done, ready;
    switch (row->mark) {
    case LN__MARK_WORK:
        took = work_s(row->macs, place->gflops);
        done = part(at, at->device, took);
        at->device += took;
        at->ledger.device_s += took * done;
        at->ledger.device_macs += whole(done, row->macs);
        span(at, LN__LANE_DEVICE, at->device, took);
        break;
    case LN__MARK_PULL: /* the request takes no time but the path's */
        done = part(at, at->device, 0);
        at->ledger.bytes_up += whole(done, row->bytes_up);
        at->ledger.wire_up += whole(done, row->wire_up);
        idle(at, at->device, 2 * half_rtt);
        bring_down(at, place, at->device + 2 * half_rtt, row);
        break;
    case LN__MARK_POST:
        serve(at, place, send_up(at, place, row), row->server_macs);
        break;
    case LN__MARK_CALL:
        ready = serve(at, place, send_up(at, place, row), row->server_macs) + half_rtt;
        idle(at, at->up_free, ready - at->up_free);
        bring_down(at, place, ready, row);
        break;
    case LN__MARK_SERVER:
        serve(at, place, at->device, row->server_macs);
        break;
    }
}

static double lay(const struct ln__place *place, const struct ln__trace *trace, double until_s, const struct ln__watch *watch,
                  struct ln__ledger *ledger)
{
    struct clockwork at;
    memset(&at, 0, sizeof at);
    at.until = until_s;
    at.watch = watch;
    for (size_t i = 0; i < trace->count; i++) {
        for (uint32_t k = 0; k < trace->row[i].times; k++)
            step(&at, place, &trace->row[i]);
    }
    double device_end = fmax(at.device, at.up_free), end = fmax(at.device, at.server_free);
    if (at.up_free > 0)
        end = fmax(end, at.up_free + place->path.rtt_ms / 2e3);
    idle(&at, device_end, end - device_end);
    /* A device that has no part in the task (the server works alone) is not on its account. */
    if (device_end > 0) {
        at.ledger.joules = place->idle_w * fmin(end, until_s) + (place->compute_w - place->idle_w) * at.ledger.device_s +
                           (place->network_w - place->idle_w) * (at.ledger.up_s + at.ledger.down_s);
    } else {
        at.ledger.idle_s = 0;
    }
    if (ledger)
        *ledger = at.ledger;
    return end;
}

double ln__timeline(const struct ln__place *place, const struct ln__trace *trace, struct ln__ledger *ledger)
{
    return lay(place, trace, INFINITY, NULL, ledger);
}

double ln__timeline_until(const struct ln__place *place, const struct ln__trace *trace, double until_s, struct ln__ledger *ledger)
{
    return lay(place, trace, until_s, NULL, ledger);
}

double ln__timeline_watch(const struct ln__place *place, const struct ln__trace *trace, const struct ln__watch *watch, struct ln__ledger *ledger)
{
    return lay(place, trace, INFINITY, watch, ledger);
}
