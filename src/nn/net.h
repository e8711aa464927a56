/* A net from inside (nn and its tests): the pieces of its one allocation, as nn/plan.h pictures them. */
#ifndef LINNET_NN_NET_H
#define LINNET_NN_NET_H

#include "nn/plan.h"

struct ln__net {
    const struct ln__plan *plan;
    struct ln__pool *pool;
    float *weight, *buffer, *gradient, *slot[2];
    struct ln__sparse_levels *levels; /* per step; NULL: the plan has no sparse layer */
    bool tested;                      /* the thresholds of tests are of the weights as they are */
    uint64_t steps;                   /* training forward passes since the load */
    unsigned char *arena;
    float *anchor; /* the loaded weights, or NULL: not asked for; a block of its own */
    float *kept;   /* gradients of a plan that is to learn, or NULL: not asked for; a block of its own */
    struct ln__net_draw draw;
    uint64_t updates; /* since the load */
    bool trained;     /* the last forward was a training one */
};

#endif
