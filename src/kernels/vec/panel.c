#include "kernels/vec/panel.h"

INLINE void channel(const int Q, const int K, const float *x, const float *w, vf acc[][PANEL_K])
{
    vf b[PANEL_K];
    UNROLL for (int k = 0; k < K; k++) b[k] = load(w + k * LN_V);
    UNROLL for (int q = 0; q < Q; q++)
    {
        UNROLL for (int k = 0; k < K; k++) acc[q][k] += x[q * LN_V] * b[k];
    }
}

INLINE void panel_run(const int Q, const int K, const struct panel *panel)
{
    vf acc[PANEL_Q][PANEL_K];
    float *y = panel->y;
    const float *x = panel->x, *w = panel->w;
    UNROLL for (int q = 0; q < Q; q++)
    {
        UNROLL for (int k = 0; k < K; k++) acc[q][k] = panel->add ? load(y + (q * K + k) * LN_V) : (vf){0};
    }
    int left = panel->depth;
    for (; left >= LN_V; left -= LN_V, x += panel->x_block) {
        UNROLL4 for (int l = 0; l < LN_V; l++, w += K * LN_V) channel(Q, K, x + l, w, acc);
    }
    for (int l = 0; l < left; l++, w += K * LN_V)
        channel(Q, K, x + l, w, acc);
    UNROLL for (int q = 0; q < Q; q++)
    {
        UNROLL for (int k = 0; k < K; k++) store(y + (q * K + k) * LN_V, acc[q][k]);
    }
}

#define PANEL(Q, K)                                                                                                                                  \
    static void panel_##Q##_##K(const struct panel *panel)                                                                                           \
    {                                                                                                                                                \
        panel_run(Q, K, panel);                                                                                                                      \
    }
#define NAME(Q, K) panel_##Q##_##K,
PANEL_ALL(PANEL, 1)
PANEL_ALL(PANEL, 2)
#if PANEL_K == 4
PANEL_ALL(PANEL, 3)
PANEL_ALL(PANEL, 4)
#endif
static void (*const panels[PANEL_K][PANEL_Q])(const struct panel *panel) = {
    {PANEL_ALL(NAME, 1)},
    {PANEL_ALL(NAME, 2)},
#if PANEL_K == 4
    {PANEL_ALL(NAME, 3)},
    {PANEL_ALL(NAME, 4)},
#endif
};

void LN_K(panel)(const struct panel *panel, int rows, int k)
{
    struct panel some = *panel;
    for (int runs = (rows + PANEL_Q - 1) / PANEL_Q; runs > 0; runs--) {
        int q = (rows + runs - 1) / runs;
        panels[k - 1][q - 1](&some);
        some.x += q * LN_V;
        some.y += q * k * LN_V;
        rows -= q;
    }
}
