/* Runs code that holds AVX-512's vdpbf16ps on processors that have AVX-512 without it: the illegal instruction is caught and done by hand, in
 * the registers that the signal's frame holds. Slow, and only so good as this reading of the manual (Intel SDM, VDPBF16PS: the odd product first,
 * each a fused multiply-add rounded to nearest even, denormals taken and given as zero); but what is compiled is then run. Included by one test. */
#ifndef LINNET_KERNELS_BF16_TRAP_H
#define LINNET_KERNELS_BF16_TRAP_H

#include <stdbool.h>

#if defined(__x86_64__) && defined(__linux__)
#include <cpuid.h>
#include <math.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

/* Where a frame's xsave area holds the parts of the registers: xmm in the legacy part, then upper halves and the second sixteen. */
enum { TRAP_XMM = 160, TRAP_STATES = 512, TRAP_YMM = 2, TRAP_ZMM = 6, TRAP_MORE = 7 };
static uint32_t trap_at[8];

/* The piece of `size` bytes of register `index` in a part of the area; a part that was all zero is not written by the processor. */
static uint8_t *trap_piece(uint8_t *area, int part, int index, size_t size, size_t registers)
{
    uint64_t present;
    memcpy(&present, area + TRAP_STATES, sizeof present);
    if (!(present >> part & 1)) {
        memset(area + trap_at[part], 0, size * registers);
        present |= (uint64_t)1 << part;
        memcpy(area + TRAP_STATES, &present, sizeof present);
    }
    return area + trap_at[part] + (size_t)index * size;
}

static void trap_copy(uint8_t *area, int index, float *value, bool write)
{
    uint8_t *piece[3];
    size_t size[3] = {16, 16, 32};
    int pieces = 3;
    if (index < 16) {
        piece[0] = trap_piece(area, 1, index, 16, 16);
        piece[1] = trap_piece(area, TRAP_YMM, index, 16, 16);
        piece[2] = trap_piece(area, TRAP_ZMM, index, 32, 16);
    } else {
        piece[0] = trap_piece(area, TRAP_MORE, index - 16, 64, 16);
        size[0] = 64;
        pieces = 1;
    }
    uint8_t *at = (uint8_t *)value;
    for (int i = 0; i < pieces; at += size[i], i++)
        memcpy(write ? piece[i] : at, write ? at : piece[i], size[i]);
}

static float trap_flush(float value)
{
    return fpclassify(value) == FP_SUBNORMAL ? copysignf(0, value) : value;
}

static float trap_half(float pair, bool high)
{
    uint32_t bits;
    memcpy(&bits, &pair, sizeof bits);
    bits = high ? bits & 0xffff0000 : bits << 16;
    memcpy(&pair, &bits, sizeof bits);
    return trap_flush(pair);
}

/* EVEX.512.F3.0F38.W0 52 /r of registers, without a mask: all that the compiler makes of the kernels. */
static void trap_illegal(int number, siginfo_t *info, void *context)
{
    (void)info;
    ucontext_t *at = context;
    const uint8_t *code = (const uint8_t *)at->uc_mcontext.gregs[REG_RIP];
    uint8_t *area = (uint8_t *)at->uc_mcontext.fpregs;
    bool known = code[0] == 0x62 && (code[1] & 7) == 2 && (code[2] & 0x87) == 6 && (code[3] & 0xf7) == 0x40 && code[4] == 0x52 && code[5] >> 6 == 3;
    if (!known) {
        signal(number, SIG_DFL);
        return;
    }
    int to = (code[5] >> 3 & 7) | (~code[1] >> 7 & 1) << 3 | (~code[1] >> 4 & 1) << 4;
    int a = (~code[2] >> 3 & 15) | (~code[3] >> 3 & 1) << 4;
    int b = (code[5] & 7) | (~code[1] >> 5 & 1) << 3 | (~code[1] >> 6 & 1) << 4;
    float sum[16], left[16], right[16];
    trap_copy(area, to, sum, false);
    trap_copy(area, a, left, false);
    trap_copy(area, b, right, false);
    for (int i = 0; i < 16; i++) {
        sum[i] = trap_flush(fmaf(trap_half(left[i], true), trap_half(right[i], true), trap_flush(sum[i])));
        sum[i] = trap_flush(fmaf(trap_half(left[i], false), trap_half(right[i], false), sum[i]));
    }
    trap_copy(area, to, sum, true);
    at->uc_mcontext.gregs[REG_RIP] += 6;
}

/* Whether sets of AVX-512 BF16 run from now on by the trap; not where the processor has it, or has no AVX-512. */
static bool trap_set(void)
{
    if (!__builtin_cpu_supports("avx512bw") || __builtin_cpu_supports("avx512bf16"))
        return false;
    static const int part[] = {TRAP_YMM, TRAP_ZMM, TRAP_MORE};
    trap_at[1] = TRAP_XMM;
    for (int i = 0; i < 3; i++) {
        uint32_t size, other;
        __cpuid_count(0xd, part[i], size, trap_at[part[i]], other, other);
    }
    struct sigaction action = {.sa_sigaction = trap_illegal, .sa_flags = SA_SIGINFO};
    sigemptyset(&action.sa_mask);
    return sigaction(SIGILL, &action, NULL) == 0;
}
#else
static bool trap_set(void)
{
    return false;
}
#endif

#endif
