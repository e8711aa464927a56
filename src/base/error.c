#include "base/text.h"
#include <linnet/error.h>

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Cuts a text that did not fit visibly; what a stranger wrote is in it. */
static void finish(char text[LN_FAULT_TEXT], size_t would_be)
{
    if (would_be >= LN_FAULT_TEXT)
        memcpy(text + LN_FAULT_TEXT - 4, "...", 4);
    ln__text_clean(text);
}

int ln_fault_set(struct ln_fault *fault, int code, const char *format, ...)
{
    if (!fault || fault->code != LN_OK)
        return code;
    fault->code = code;
    va_list args;
    va_start(args, format);
    int size = vsnprintf(fault->text, sizeof fault->text, format, args);
    va_end(args);
    finish(fault->text, size < 0 ? 0 : (size_t)size);
    return code;
}

int ln_fault_errno(struct ln_fault *fault, const char *format, ...)
{
    int saved = errno;
    int code = LN_EIO;
    if (saved == ENOSPC || saved == EDQUOT || saved == EFBIG)
        code = LN_EFULL;
    else if (saved == ENOENT)
        code = LN_ENOENT;
    else if (saved == ENOMEM)
        code = LN_ENOMEM;
    if (!fault || fault->code != LN_OK)
        return code;
    fault->code = code;
    va_list args;
    va_start(args, format);
    int size = vsnprintf(fault->text, sizeof fault->text, format, args);
    va_end(args);
    size_t used = size < 0 ? 0 : (size_t)size;
    char reason[128];
    const char *why = strerror_r(saved, reason, sizeof reason);
    if (used < sizeof fault->text)
        used += (size_t)snprintf(fault->text + used, sizeof fault->text - used, ": %s", why);
    finish(fault->text, used);
    return code;
}

const char *ln_error_name(int code)
{
    switch (code) {
    case LN_OK:
        return "OK";
#define NAME(name, text)                                                                                                                             \
    case LN_E##name:                                                                                                                                 \
        return #name;
        LN_ERRORS(NAME)
#undef NAME
    default:
        return "UNKNOWN";
    }
}

const char *ln_error_text(int code)
{
    switch (code) {
    case LN_OK:
        return "success";
#define TEXT(name, text)                                                                                                                             \
    case LN_E##name:                                                                                                                                 \
        return text;
        LN_ERRORS(TEXT)
#undef TEXT
    default:
        return "unknown error";
    }
}
