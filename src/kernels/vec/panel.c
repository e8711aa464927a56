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
#define SIX(F, K) F(1, K) F(2, K) F(3, K) F(4, K) F(5, K) F(6, K)
#define FOURTEEN(F, K) SIX(F, K) F(7, K) F(8, K) F(9, K) F(10, K) F(11, K) F(12, K) F(13, K) F(14, K)
#define NAME(Q, K) panel_##Q##_##K,
#if PANEL_Q == 14
#define ALL FOURTEEN
#else
#define ALL SIX
#endif
ALL(PANEL, 1)
ALL(PANEL, 2)
#if PANEL_K == 4
ALL(PANEL, 3)
ALL(PANEL, 4)
static void (*const panels[PANEL_K][PANEL_Q])(const struct panel *panel) = {{ALL(NAME, 1)}, {ALL(NAME, 2)}, {ALL(NAME, 3)}, {ALL(NAME, 4)}};
#else
static void (*const panels[PANEL_K][PANEL_Q])(const struct panel *panel) = {{ALL(NAME, 1)}, {ALL(NAME, 2)}};
#endif

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
