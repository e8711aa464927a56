/* Text of a stranger (a recipe, a table's cell, a folder's name) on its way to a person: a terminal obeys control characters, and what is no UTF-8
 * is no text to JSON. Faults, log lines and tables clean all they are given, so that no caller has to think of it. */
#ifndef LINNET_BASE_TEXT_H
#define LINNET_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/* UTF-8 without control characters, those beyond ASCII included. */
bool ln__text_printable(const char *text);
/* In place: '?' for each byte that keeps it from being so. Returns text. */
char *ln__text_clean(char *text);

/* Quoted in a sentence: clean, of a long one the beginning and "...". */
struct ln__shown {
    char text[64];
};
struct ln__shown ln__shown(const char *text);
struct ln__shown ln__shown_part(const char *text, size_t size);

#endif
