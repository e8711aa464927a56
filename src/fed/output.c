/* What a run leaves in its folder: metrics.jsonl, trace.jsonl, gantt.jsonl, model.safetensors, summary.json. */
#include "fed/run.h"

#include "base/log.h"
#include "base/mem.h"
#include "fed/about.h"
#include "fed/cohort.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int path_of(const struct ln_run *run, const char *name, char path[PATH_MAX])
{
    return ln__file_join(path, PATH_MAX, run->args->dir, name) ? ln_fault_set(run->fault, LN_EINVALID, "%.100s: the path is too long", run->args->dir)
                                                               : LN_OK;
}

/* Lines behind what the checkpoint knows were written by a run that died: they will be written again. */
static int open_lines(struct ln_run *run, const char *name, uint64_t size, int *file)
{
    char path[PATH_MAX];
    int error = path_of(run, name, path);
    if (error)
        return error;
    *file = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (*file < 0)
        return ln_fault_errno(run->fault, "%s: cannot write", path);
    off_t found = lseek(*file, 0, SEEK_END);
    if (found < 0 || (uint64_t)found < size)
        return ln_fault_set(run->fault, LN_ECORRUPT, "%s: %lld bytes, the checkpoint knows %" PRIu64, path, (long long)found, size);
    if (ftruncate(*file, (off_t)size))
        return ln_fault_errno(run->fault, "%s: cannot cut it to the checkpoint's length", path);
    return LN_OK;
}

int ln__output_open(struct ln_run *run)
{
    if (!run->args->dir)
        return LN_OK;
    int error = ln__file_mkdirs(run->args->dir, run->fault);
    if (!error)
        error = open_lines(run, "metrics.jsonl", run->metrics_size, &run->metrics_file);
    if (!error)
        error = open_lines(run, "trace.jsonl", run->trace_size, &run->trace_file);
    return error ? error : open_lines(run, "gantt.jsonl", run->gantt_size, &run->gantt_file);
}

void ln__output_close(struct ln_run *run)
{
    if (run->metrics_file >= 0)
        close(run->metrics_file);
    if (run->trace_file >= 0)
        close(run->trace_file);
    if (run->gantt_file >= 0)
        close(run->gantt_file);
    run->metrics_file = run->trace_file = run->gantt_file = -1;
}

int ln__output_sync(struct ln_run *run)
{
    const int files[] = {run->metrics_file, run->trace_file, run->gantt_file};
    for (int i = 0; i < 3; i++) {
        if (files[i] >= 0 && fdatasync(files[i]))
            return ln_fault_errno(run->fault, "%s: its lines do not reach the disk", run->args->dir);
    }
    return LN_OK;
}

static int write_all(int file, const char *text, size_t size)
{
    while (size > 0) {
        ssize_t done = write(file, text, size);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return -1;
        text += done;
        size -= (size_t)done;
    }
    return 0;
}

/* Takes the object; a line is written whole or not at all. A disk that is full or failing does not end the run: the line is lost, and that is said once. */
static void write_line(struct ln_run *run, const char *name, int file, uint64_t *at, bool *warned, json_t *line)
{
    char *text = json_dumps(line, JSON_COMPACT | JSON_REAL_PRECISION(15));
    size_t size = text ? strlen(text) : 0;
    json_decref(line);
    if (text)
        text[size] = '\n'; /* in place of the 0 */
    if (text && write_all(file, text, size + 1) == 0) {
        *at += size + 1;
    } else {
        if (!*warned)
            ln__log(LN__LOG_WARN, "%s: lines of %s cannot be written: %s; the run goes on without", run->args->dir, name,
                    strerror(text ? errno : ENOMEM));
        *warned = true;
        if (text && ftruncate(file, (off_t)*at))
            ln__log(LN__LOG_WARN, "%s: half a line of %s is left", run->args->dir, name);
    }
    ln__mem_free_outer(text);
}

static void put_real(json_t *line, const char *key, double value)
{
    json_object_set_new(line, key, isfinite(value) ? json_real(value) : json_null());
}

static void put_count(json_t *line, const char *key, uint64_t value)
{
    json_object_set_new(line, key, json_integer((json_int_t)value));
}

static json_t *metrics_line(const struct ln_run *run)
{
    const struct ln__metrics *m = &run->total;
    json_t *line = json_object();
    put_real(line, "round", m->round);
    put_count(line, "version", m->version);
    put_real(line, "time_s", m->time_s);
    put_real(line, "wall_s", m->wall_s);
    put_real(line, "accuracy", m->accuracy);
    put_real(line, "loss", m->loss);
    for (size_t i = 0; i < run->env->recipe->eval.widths.count && i < LN__WIDTHS; i++) {
        char key[40];
        snprintf(key, sizeof key, "accuracy_at_%g", run->env->recipe->eval.widths.item[i]);
        put_real(line, key, m->width[i]);
    }
    if (run->env->recipe->eval.per_client) {
        put_real(line, "client_mean", m->client.mean);
        put_real(line, "client_median", m->client.median);
        put_real(line, "client_worst10", m->client.worst10);
    }
    if (run->overlap) {
        put_real(line, "mask_overlap_clients", run->overlap_clients);
        put_real(line, "mask_overlap_rounds", run->overlap_rounds);
    }
    put_count(line, "bytes_up", m->bytes_up);
    put_count(line, "bytes_down", m->bytes_down);
    put_count(line, "wire_up", m->wire_up);
    put_count(line, "wire_down", m->wire_down);
    put_count(line, "device_macs", m->device_macs);
    put_count(line, "server_macs", m->server_macs);
    put_real(line, "joules", m->joules);
    put_real(line, "device_s", run->device_s);
    put_real(line, "up_s", run->up_s);
    put_real(line, "down_s", run->down_s);
    put_real(line, "server_s", run->server_s);
    put_real(line, "idle_s", run->idle_s);
    put_count(line, "clients", run->participants);
    put_count(line, "tasks", m->tasks);
    put_count(line, "dropped", m->dropped);
    put_count(line, "refused", m->refused);
    put_real(line, "parallelism", m->parallelism);
    if (run->kept_clients > 0) {
        put_count(line, "kept_bytes", run->kept_bytes);
        put_count(line, "kept_clients", run->kept_clients);
    }
    for (size_t i = 0; i < run->notes; i++)
        put_real(line, run->note[i].name, run->note[i].value);
    return line;
}

void ln__output_metrics(struct ln_run *run)
{
    if (run->metrics_file >= 0)
        write_line(run, "metrics.jsonl", run->metrics_file, &run->metrics_size, &run->warned.metrics, metrics_line(run));
    run->notes = 0;
}

void ln_run_trace(struct ln_run *run, const char *what, uint32_t client, double value)
{
    if (run->trace_file < 0)
        return;
    json_t *line = json_object();
    put_real(line, "time_s", ln_run_now(run));
    put_real(line, "round", run->progress);
    json_object_set_new(line, "what", json_string(what));
    if (client != LN__CLIENT_NONE)
        put_count(line, "client", client);
    put_real(line, "value", value);
    write_line(run, "trace.jsonl", run->trace_file, &run->trace_size, &run->warned.trace, line);
}

/* Spans of a lane that touch are one. */
struct drawing {
    struct ln_run *run;
    const struct ln__task *task;
    struct {
        double from, to;
    } open[LN__LANE_DOWN + 1];
};

static void draw_open(struct drawing *drawing, enum ln__lane lane)
{
    struct ln_run *run = drawing->run;
    static const char *const name[] = {"device", "up", "server", "down"};
    if (drawing->open[lane].to <= drawing->open[lane].from)
        return;
    json_t *line = json_object();
    put_count(line, "round", drawing->task->round);
    put_count(line, "client", drawing->task->client);
    json_object_set_new(line, "lane", json_string(name[lane]));
    put_real(line, "from", drawing->open[lane].from);
    put_real(line, "to", drawing->open[lane].to);
    write_line(run, "gantt.jsonl", run->gantt_file, &run->gantt_size, &run->warned.gantt, line);
}

static void draw(void *context, enum ln__lane lane, double from_s, double to_s)
{
    struct drawing *drawing = context;
    if (drawing->open[lane].to > drawing->open[lane].from && from_s - drawing->open[lane].to <= 1e-9 * to_s) {
        drawing->open[lane].to = to_s;
        return;
    }
    draw_open(drawing, lane);
    drawing->open[lane].from = from_s;
    drawing->open[lane].to = to_s;
}

void ln__output_gantt(struct ln_run *run, const struct ln__fleet_event *event)
{
    const struct ln__task *task = &event->task;
    if (run->gantt_file < 0 || !run->on->spans || task->kind != LN_TASK_TRAIN || task->round >= LN__GANTT_ROUNDS ||
        run->drawn_tasks[task->round] == LN__GANTT_TASKS)
        return;
    run->drawn_tasks[task->round]++;
    struct drawing drawing = {.run = run, .task = task};
    run->on->spans(run->fleet, task, &event->result.trace, &(struct ln__watch){draw, &drawing});
    for (int lane = LN__LANE_DEVICE; lane <= LN__LANE_DOWN; lane++)
        draw_open(&drawing, (enum ln__lane)lane);
}

static int write_model(struct ln_run *run)
{
    char path[PATH_MAX];
    const void *data;
    struct ln__weights_about about;
    int error = path_of(run, "model.safetensors", path);
    if (!error)
        error = ln__blob_pin(run->model, &data, run->fault);
    if (error)
        return error;
    ln__about_env(run->env, &about);
    error = ln__weights_save(path, run->env->graph, &about, data, run->fault);
    ln__blob_unpin(run->model);
    return error;
}

int ln__output_end(struct ln_run *run)
{
    if (!run->args->dir)
        return LN_OK;
    int error = write_model(run);
    if (error)
        return error;
    json_t *line = metrics_line(run);
    json_object_set_new(line, "name", json_string(run->env->recipe->name));
    json_object_set_new(line, "kernels", json_string(run->env->kset->name));
    if (run->env->sparse_kernels)
        json_object_set_new(line, "sparse_kernels", json_string(run->env->sparse_kernels));
    put_count(line, "parameters", run->env->trainable);
    put_real(line, "best_accuracy", run->best);
    put_real(line, "best_round", run->best_round);
    json_object_set_new(line, "ended_by", json_string(ln__run_ended_by(run)));
    char *text = json_dumps(line, JSON_INDENT(2) | JSON_REAL_PRECISION(15)), path[PATH_MAX];
    json_decref(line);
    if (!text)
        return ln_fault_set(run->fault, LN_ENOMEM, "no memory for the summary");
    error = path_of(run, "summary.json", path);
    if (!error)
        error = ln__file_replace(path, (struct ln__piece[]){{text, strlen(text)}, {"\n", 1}}, 2, run->fault);
    ln__mem_free_outer(text);
    return error;
}
