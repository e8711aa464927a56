#include "base/log.h"
#include "base/text.h"

#include <math.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define BAR_WIDTH 20
#define BAR_EVERY_S 0.1
#define LINE_EVERY_S 5.0
#define LINE_MAX_BYTES 8192 /* a command to go on with, which many --set make long */

static struct {
    pthread_mutex_t lock;
    enum ln__log_level level;
    enum ln__log_form form; /* LN__LOG_AUTO until the first use */
    bool drawn;             /* a bar stands at the cursor */
    char what[64];          /* of the bar that runs; "" none */
    char unit[24];
    double begun_s, begun_done, shown_s;
    char bar[512]; /* as last drawn, to draw it again below a log line */
} state = {.lock = PTHREAD_MUTEX_INITIALIZER, .level = LN__LOG_WARN};

/* A bar is drawn anew by control characters, which a dumb terminal prints. */
static bool takes_bar(void)
{
    const char *terminal = getenv("TERM");
    return isatty(STDERR_FILENO) && terminal && strcmp(terminal, "dumb") != 0;
}

static void settle_form(void)
{
    if (state.form == LN__LOG_AUTO)
        state.form = takes_bar() ? LN__LOG_BAR : LN__LOG_PLAIN;
}

void ln__log_setup(enum ln__log_level level, enum ln__log_form form)
{
    pthread_mutex_lock(&state.lock);
    state.level = level;
    state.form = form;
    pthread_mutex_unlock(&state.lock);
}

enum ln__log_level ln__log_level(enum ln__log_level level)
{
    pthread_mutex_lock(&state.lock);
    enum ln__log_level before = state.level;
    state.level = level;
    pthread_mutex_unlock(&state.lock);
    return before;
}

/* A clean text as a JSON string. */
static void put_json(const char *text)
{
    fputc('"', stderr);
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            fputc('\\', stderr);
        fputc(*text, stderr);
    }
    fputc('"', stderr);
}

static void wipe_bar(void)
{
    if (state.drawn)
        fputs("\r\033[K", stderr);
    state.drawn = false;
}

void ln__log(enum ln__log_level level, const char *format, ...)
{
    static const char *const name[] = {"error", "warning", "info", "debug"};
    pthread_mutex_lock(&state.lock);
    settle_form();
    if (level > state.level) {
        pthread_mutex_unlock(&state.lock);
        return;
    }
    char text[LINE_MAX_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    ln__text_clean(text);
    flockfile(stderr);
    if (state.form == LN__LOG_JSON) {
        fprintf(stderr, "{\"level\":\"%s\",\"time\":%.3f,\"text\":", name[level], ln__clock_wall());
        put_json(text);
        fputs("}\n", stderr);
    } else {
        bool redraw = state.drawn;
        wipe_bar();
        fprintf(stderr, "%s%s%s\n", level == LN__LOG_INFO ? "" : name[level], level == LN__LOG_INFO ? "" : ": ", text);
        if (redraw) {
            fputs(state.bar, stderr);
            state.drawn = true;
        }
    }
    fflush(stderr);
    funlockfile(stderr);
    pthread_mutex_unlock(&state.lock);
}

/* 75 s is "1:15", a day and more "1d 2:03:04". */
static void print_time(double seconds, char *out, size_t room)
{
    if (!(seconds >= 0) || seconds > 1e8) {
        snprintf(out, room, "?");
        return;
    }
    long all = lrint(seconds), days = all / 86400, hours = all / 3600 % 24, minutes = all / 60 % 60, rest = all % 60;
    if (days)
        snprintf(out, room, "%ldd %ld:%02ld:%02ld", days, hours, minutes, rest);
    else if (hours)
        snprintf(out, room, "%ld:%02ld:%02ld", hours, minutes, rest);
    else
        snprintf(out, room, "%ld:%02ld", minutes, rest);
}

/* Whole numbers as they are, others to a thousandth of the total: 0.00942768 of 50 is 0.01. */
static void print_done(double done, double total, char *out, size_t room)
{
    int digits = 0;
    for (double step = 1000; step > total && digits < 9; step /= 10)
        digits++;
    if (done == floor(done) || total <= 0)
        snprintf(out, room, "%.10g", done);
    else
        snprintf(out, room, "%.*f", digits, done);
}

static size_t terminal_width(void)
{
    struct winsize size;
    return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

/* "training 12/500 |###-----| 0.41 rounds/s, 19:50 left, accuracy 61.3 %": the bar takes what the words leave of the terminal, and all is cut to it so that it
 * never wraps. */
static void describe(char *out, size_t room, const char *unit, double done, double total, double rate, const char *note, bool bar)
{
    char left[64] = "", speed[64] = "", drawn[64] = "";
    if (rate > 0) {
        snprintf(speed, sizeof speed, rate < 0.1 ? " %.2g %.20s/s" : rate < 10 ? " %.2f %.20s/s" : " %.0f %.20s/s", rate, unit);
        if (total > done) {
            char time_left[48];
            print_time((total - done) / rate, time_left, sizeof time_left);
            snprintf(left, sizeof left, ", %s left", time_left);
        }
    }
    char count[64], shown[32];
    print_done(done, total, shown, sizeof shown);
    if (total > 0)
        snprintf(count, sizeof count, "%s/%.10g", shown, total);
    else
        snprintf(count, sizeof count, "%s %.20s", shown, unit);
    size_t words = strlen(state.what) + 1 + strlen(count) + strlen(speed) + strlen(left) + (*note ? 2 : 0) + strlen(note);
    size_t wide = room > words + 4 ? room - words - 4 : 0; /* and 3 for its ends, 1 for the 0 */
    if (bar && total > 0 && wide >= 5) {
        int width = wide < BAR_WIDTH ? (int)wide : BAR_WIDTH, full = (int)(width * (done < total ? done / total : 1));
        snprintf(drawn, sizeof drawn, " |%.*s%.*s|", full, "####################", width - full, "--------------------");
    }
    snprintf(out, room, "%s %s%s%s%s%s%s", state.what, count, drawn, speed, left, *note ? ", " : "", note);
}

void ln__progress(const char *what, const char *unit, double done, double total, const char *note)
{
    pthread_mutex_lock(&state.lock);
    settle_form();
    double now = ln__clock_mono();
    bool begins = strncmp(state.what, what, sizeof state.what - 1) != 0;
    if (begins) {
        snprintf(state.what, sizeof state.what, "%s", what);
        state.shown_s = -1e9;
    }
    if (begins || strncmp(state.unit, unit, sizeof state.unit - 1) != 0) {
        snprintf(state.unit, sizeof state.unit, "%s", unit);
        state.begun_s = now;
        state.begun_done = done;
    }
    bool last = total > 0 && done >= total;
    double gap = state.form == LN__LOG_BAR ? BAR_EVERY_S : LINE_EVERY_S;
    if (state.level < LN__LOG_INFO || (now - state.shown_s < gap && !last)) {
        pthread_mutex_unlock(&state.lock);
        return;
    }
    state.shown_s = now;
    double rate = now > state.begun_s ? (done - state.begun_done) / (now - state.begun_s) : 0;
    char said[256];
    snprintf(said, sizeof said, "%s", note ? note : "");
    ln__text_clean(said);
    flockfile(stderr);
    if (state.form == LN__LOG_JSON) {
        fputs("{\"progress\":", stderr);
        put_json(state.what);
        fputs(",\"unit\":", stderr);
        put_json(unit);
        fprintf(stderr, ",\"done\":%.10g,\"total\":%.10g,\"rate\":%.6g,\"note\":", done, total, rate);
        put_json(said);
        fputs("}\n", stderr);
    } else if (state.form == LN__LOG_BAR) {
        size_t width = terminal_width();
        describe(state.bar, width < sizeof state.bar ? width : sizeof state.bar, unit, done, total, rate, said, true);
        wipe_bar();
        fputs(state.bar, stderr);
        state.drawn = true;
    } else {
        char line[512];
        describe(line, sizeof line, unit, done, total, rate, said, false);
        fprintf(stderr, "%s\n", line);
    }
    fflush(stderr);
    funlockfile(stderr);
    pthread_mutex_unlock(&state.lock);
}

void ln__progress_end(void)
{
    pthread_mutex_lock(&state.lock);
    if (state.drawn) {
        fputc('\n', stderr);
        fflush(stderr);
    }
    state.drawn = false;
    state.what[0] = 0;
    pthread_mutex_unlock(&state.lock);
}
