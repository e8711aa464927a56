/* The report of a run: one HTML file that needs nothing else, made from what lies in the run's folder:
 *
 *     metrics.jsonl  a line an evaluation        needed (it may end in a torn line)
 *     summary.json   the last line plus bests    used where it is
 *     recipe.yaml    the resolved recipe         used where it is
 *     shares.json    who holds what              used where it is
 *     trace.jsonl    what the strategy told      used where it is
 *     gantt.jsonl    when who was busy           used where it is
 *
 * Of the files of lines it holds the newest 200,000 of each, and says how many came before.
 *
 * All of it may hold hostile text (a recipe from a stranger): it goes into the page as one JSON block in which no byte can end a
 * script, and the page's code puts it in as text, never as markup. */
#ifndef LINNET_DASH_REPORT_H
#define LINNET_DASH_REPORT_H

#include "base/mem.h"
#include <linnet/error.h>

/* Writes dir/report.html, replacing an old one. LN_ENOENT: dir is no run's folder, or nothing was evaluated yet. LN_ECORRUPT names file and line. */
int ln__report_write(const char *dir, struct ln_fault *fault) LN_MUST_CHECK;

/* The same into out, whose maximum bounds it. */
int ln__report_make(const char *dir, struct ln__buf *out, struct ln_fault *fault) LN_MUST_CHECK;

#endif
