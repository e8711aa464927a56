/* Errors of the whole library. A function that can fail returns 0 or a negative code of this list and, where the caller
 * gave one, fills a fault: one sentence for a person, saying what is wrong, where, and what was expected. Bugs abort; only
 * the program (src/cli) ends the process. */
#ifndef LINNET_ERROR_H
#define LINNET_ERROR_H

#ifdef __cplusplus
extern "C" {
#endif

#define LN_ERRORS(X)                                                                                                                                 \
    X(INVALID, "invalid argument")                                                                                                                   \
    X(CONFIG, "bad recipe or option")                                                                                                                \
    X(NOMEM, "out of memory")                                                                                                                        \
    X(IO, "input or output failed")                                                                                                                  \
    X(FULL, "no space left")                                                                                                                         \
    X(NOENT, "not found")                                                                                                                            \
    X(EXISTS, "already exists")                                                                                                                      \
    X(CORRUPT, "malformed or damaged data")                                                                                                          \
    X(SHAPE, "shapes do not fit")                                                                                                                    \
    X(UNSUPPORTED, "not supported")                                                                                                                  \
    X(BUDGET, "over budget")                                                                                                                         \
    X(REFUSED, "refused")                                                                                                                            \
    X(INTERRUPTED, "interrupted")                                                                                                                    \
    X(TIMEOUT, "took too long")                                                                                                                      \
    X(GONE, "the peer is gone")

enum {
    LN_OK = 0,
#define LN_ERROR_POSITIVE(name, text) LN_ERRNO_##name,
    LN_ERRNO_ZERO = 0,
    LN_ERRORS(LN_ERROR_POSITIVE)
#undef LN_ERROR_POSITIVE
#define LN_ERROR_NEGATIVE(name, text) LN_E##name = -LN_ERRNO_##name,
        LN_ERRORS(LN_ERROR_NEGATIVE)
#undef LN_ERROR_NEGATIVE
};

#define LN_FAULT_TEXT 512

/* Detail of a failure, in the caller's memory, printable UTF-8 whatever it quotes; the first fault set is kept. {0} is "no fault yet". */
struct ln_fault {
    int code;
    char text[LN_FAULT_TEXT];
};

#define LN_MUST_CHECK __attribute__((warn_unused_result))
#define LN_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))

/* Fills the fault (which may be NULL, or already set: then it stays) and returns code, so that a failure is one line:
 * return ln_fault_set(fault, LN_ESHAPE, "%s: ...", name). */
int ln_fault_set(struct ln_fault *fault, int code, const char *format, ...) LN_PRINTF(3, 4);

/* As ln_fault_set with ": <strerror(errno)>" at the end; ENOSPC, EDQUOT and EFBIG become LN_EFULL, ENOENT LN_ENOENT, ENOMEM LN_ENOMEM, others LN_EIO. */
int ln_fault_errno(struct ln_fault *fault, const char *format, ...) LN_PRINTF(2, 3);

/* "SHAPE" and "shapes do not fit" for LN_ESHAPE; never NULL. */
const char *ln_error_name(int code);
const char *ln_error_text(int code);

#ifdef __cplusplus
}
#endif
#endif
