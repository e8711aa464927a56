/* Log lines and progress on standard error, from warnings on unless ln__log_setup says otherwise. On a terminal that is not dumb a
 * progress bar with rate and remaining time stays at the bottom; elsewhere plain lines, at most one in 5 s; with json, one JSON object a line. The one room with state of its own: the
 * level, the form, the bar. What is no printable UTF-8 in a text becomes '?'. Safe from any thread. */
#ifndef LINNET_BASE_LOG_H
#define LINNET_BASE_LOG_H

#include <linnet/error.h>
#include <stdbool.h>

enum ln__log_level { LN__LOG_ERROR, LN__LOG_WARN, LN__LOG_INFO, LN__LOG_DEBUG };
enum ln__log_form { LN__LOG_AUTO, LN__LOG_PLAIN, LN__LOG_BAR, LN__LOG_JSON };

void ln__log_setup(enum ln__log_level level, enum ln__log_form form);
/* Sets the level alone and returns the one before: what is tried, not done, keeps its words to itself. */
enum ln__log_level ln__log_level(enum ln__log_level level);
void ln__log(enum ln__log_level level, const char *format, ...) LN_PRINTF(2, 3);

/* One bar at a time. total 0: unknown. note is a short text at its end ("accuracy 61.3 %"), may be "". The rate is that since the bar, or another unit
 * under it, began. */
void ln__progress(const char *what, const char *unit, double done, double total, const char *note);
void ln__progress_end(void);

double ln__clock_wall(void); /* seconds since 1970 */
double ln__clock_mono(void); /* seconds, for durations */

#endif
