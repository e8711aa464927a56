#include "base/text.h"

#include <stdint.h>
#include <string.h>

#define SHOWN_MAX 60

/* Bytes of the printable character at the beginning; 0: there is none. */
static size_t step(const char *text)
{
    static const uint32_t least[] = {0x20, 0xA0, 0x800,
                                     0x10000}; /* by bytes that follow: control characters lie below, longer forms than needed too */
    const unsigned char *at = (const unsigned char *)text;
    size_t more = *at < 0xC0 ? 0 : *at < 0xE0 ? 1 : *at < 0xF0 ? 2 : 3;
    uint32_t code = more ? *at & (0x3FU >> more) : *at;
    for (size_t i = 1; i <= more; i++) {
        if ((at[i] & 0xC0) != 0x80)
            return 0;
        code = code << 6 | (at[i] & 0x3FU);
    }
    bool good = more ? *at < 0xF8 && (code < 0xD800 || code > 0xDFFF) && code <= 0x10FFFF : code < 0x7F;
    return good && code >= least[more] ? more + 1 : 0;
}

bool ln__text_printable(const char *text)
{
    size_t size = 1;
    for (; *text && size; text += size)
        size = step(text);
    return size > 0;
}

char *ln__text_clean(char *text)
{
    for (char *at = text; *at;) {
        size_t size = step(at);
        if (size == 0)
            *at = '?';
        at += size ? size : 1;
    }
    return text;
}

struct ln__shown ln__shown_part(const char *text, size_t size)
{
    struct ln__shown shown = {0};
    size_t used = size <= SHOWN_MAX ? size : SHOWN_MAX - 3;
    while (used < size && used && (text[used] & 0xC0) == 0x80) /* not in the middle of a character */
        used--;
    memcpy(shown.text, text, used);
    ln__text_clean(shown.text);
    if (used < size)
        memcpy(shown.text + used, "...", 3);
    return shown;
}

struct ln__shown ln__shown(const char *text)
{
    return ln__shown_part(text, strlen(text));
}
