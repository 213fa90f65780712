/* One event a line, written through a block of our own: a million events are too many for printf.
 *
 *   {"name":"F3","cat":"F","ph":"X","pid":0,"tid":0,"ts":12.5,"dur":3,"cname":"good",
 *    "args":{"action":"0F3","iteration":0}}
 *
 * "ts" and "dur" are microseconds with 15 digits or more. Where they would not give the times back
 * to the last bit, args have "start" and "end" as well, in the trace's own unit. */
#include "traces/chrome.h"

#include <math.h>
#include <string.h>

#include "io/file.h"
#include "traces/chrome_flow_private.h"
#include "traces/chrome_number_private.h"
#include "traces/chrome_private.h"

#define BLOCK_BYTES (1 << 16)
#define PIECE_BYTES_MAX 256 /* of one put call, texts of the header excepted */

typedef struct {
  PwFileWriter *file;
  GError **error;
  gboolean failed;
  gsize used;
  double scale;      /* file's unit per unit of the trace */
  gboolean is_first; /* of the events: no comma before it */
  char block[BLOCK_BYTES];
} Output;

static void
flush (Output *out) {
  if (!out->failed && !pw_file_writer_write (out->file, out->block, out->used, out->error))
    out->failed = TRUE;
  out->used = 0;
}

static char *
reserve (Output *out) {
  if (out->used + PIECE_BYTES_MAX > BLOCK_BYTES)
    flush (out);
  return out->block + out->used;
}

static void
put (Output *out, const char *text) {
  gsize length = strlen (text);
  g_assert (length <= PIECE_BYTES_MAX);
  memcpy (reserve (out), text, length);
  out->used += length;
}

static void
put_integer (Output *out, int64_t value) {
  out->used += pw__number_write_integer (reserve (out), value);
}

static void
put_exact (Output *out, double value) {
  out->used += pw__number_write (reserve (out), value);
}

/* Returns what a reader gets. */
static double
put_short (Output *out, double value) {
  double read;
  out->used += pw__number_write_short (reserve (out), value, &read);
  return read;
}

static void
put_string (Output *out, const char *text) {
  g_autofree char *valid = g_utf8_make_valid (text, -1);
  put (out, "\"");
  for (const char *c = valid; *c != '\0'; c++) {
    char *to = reserve (out);
    if (*c == '"' || *c == '\\') {
      to[0] = '\\';
      to[1] = *c;
      out->used += 2;
    } else if ((guchar)*c < 0x20) {
      out->used += (gsize)g_snprintf (to, PIECE_BYTES_MAX, "\\u%04x", (guint)(guchar)*c);
    } else {
      to[0] = *c;
      out->used++;
    }
  }
  put (out, "\"");
}

static void
put_text_field (Output *out, const char *key, const char *value) {
  if (value == NULL)
    return;
  put (out, ",\n\"");
  put (out, key);
  put (out, "\":");
  put_string (out, value);
}

static void
put_integer_field (Output *out, const char *key, int64_t value) {
  put (out, ",\n\"");
  put (out, key);
  put (out, "\":");
  put_integer (out, value);
}

static void
put_header (Output *out, const PwTraceInfo *info) {
  put (out, "{\"otherData\":{\n\"format\":\"" PW__TRACE_FORMAT "\"");
  put_integer_field (out, "version", PW_TRACE_VERSION);
  put_text_field (out, "source", info->source);
  put_text_field (out, "schedule", info->schedule);
  put_text_field (out, "model", info->model);
  put_text_field (out, "policy", info->policy);
  put_text_field (out, "transport", info->transport);
  put_text_field (out, "backend", info->backend);
  put (out, ",\n\"unitless\":");
  put (out, info->unitless ? "true" : "false");
  put_integer_field (out, "ranks", info->ranks);
  put_integer_field (out, "stages", info->stages);
  put_integer_field (out, "microbatches", info->microbatches);
  put_integer_field (out, "chunks", info->chunks);
  put_integer_field (out, "iterations", info->iterations);
  put_text_field (out, "clock", info->clock);
  put (out, "},\n\"displayTimeUnit\":\"ms\",\n\"traceEvents\":[");
}

static void
start_event (Output *out, const char *opening) {
  put (out, out->is_first ? "\n" : ",\n");
  put (out, opening);
  out->is_first = FALSE;
}

static void
put_place (Output *out, int rank, int thread) {
  put (out, "\"pid\":");
  put_integer (out, rank);
  put (out, ",\"tid\":");
  put_integer (out, thread);
}

static void
put_name (Output *out, const char *kind, int rank, int thread, const char *name, int lane) {
  start_event (out, "{\"name\":\"");
  put (out, kind);
  put (out, "\",\"ph\":\"M\",");
  put_place (out, rank, thread);
  put (out, ",\"args\":{\"name\":\"");
  put (out, name);
  if (lane > 0) {
    put (out, " ");
    put_integer (out, lane + 1);
  }
  put (out, "\"}}");
}

/* Compute is thread 0, lane k of the sends 1 + 2k, of the receives 2 + 2k. */
static int
thread_of (gboolean is_receive, int lane) {
  return 1 + 2 * lane + (is_receive ? 1 : 0);
}

static void
put_names (Output *out, const PwTrace *trace, const PwTraceFlows *flows) {
  for (int rank = 0; rank < trace->info.ranks; rank++) {
    char name[32];
    g_snprintf (name, sizeof name, "rank %d", rank);
    put_name (out, "process_name", rank, 0, name, 0);
    start_event (out, "{\"name\":\"process_sort_index\",\"ph\":\"M\",");
    put_place (out, rank, 0);
    put (out, ",\"args\":{\"sort_index\":");
    put_integer (out, rank);
    put (out, "}}");
    put_name (out, "thread_name", rank, 0, "compute", 0);
    for (int side = 0; side < 2; side++)
      for (int lane = 0; lane < g_array_index (flows->n_lanes, int, 2 * rank + side); lane++)
        put_name (out, "thread_name", rank, thread_of (side, lane), side == 0 ? "send" : "receive",
                  lane);
  }
}

/* chrome://tracing's names of colours; Perfetto colours by the event's name without its digits. */
static const char *const colours[PW_ACTION_N] = {
  [PW_ACTION_FORWARD] = "thread_state_runnable", [PW_ACTION_BACKWARD] = "good",
  [PW_ACTION_INPUT_GRADIENT] = "rail_response",  [PW_ACTION_WEIGHT_GRADIENT] = "yellow",
  [PW_ACTION_RECOMPUTE] = "rail_animation",      [PW_ACTION_UPDATE] = "black",
};

/* Writes "ts" and "dur"; returns whether they give both times back. */
static gboolean
put_times (Output *out, double start, double end) {
  put (out, ",\"ts\":");
  double ts = put_short (out, start * out->scale);
  put (out, ",\"dur\":");
  double duration = put_short (out, MAX (0, end * out->scale - ts));
  return ts / out->scale == start && (ts + duration) / out->scale == end;
}

static void
put_record (Output *out, const PwTraceRecord *record, int thread) {
  const PwAction action = record->action;
  const PwActionKindInfo *kind = &pw_action_kinds[action.kind];
  char text[PW_ACTION_TEXT_MAX];
  start_event (out, "{\"name\":\"");
  put (out, kind->name);
  if (kind->has_microbatch)
    put_integer (out, action.microbatch);
  put (out, "\",\"cat\":\"");
  put (out, kind->name);
  put (out, "\",\"ph\":\"X\",");
  put_place (out, record->rank, thread);
  gboolean is_exact = put_times (out, record->start, record->end);
  const char *colour = record->is_critical ? "terrible" : colours[action.kind];
  if (colour != NULL) {
    put (out, ",\"cname\":\"");
    put (out, colour);
    put (out, "\"");
  }
  put (out, ",\"args\":{\"action\":\"");
  put (out, pw_action_format (action, text));
  put (out, "\",\"iteration\":");
  put_integer (out, record->iteration);
  const struct {
    const char *key;
    int64_t value;
  } rest[] = {
    { .key = ",\"edge\":", .value = action.edge },
    { .key = ",\"bytes\":", .value = record->bytes },
    { .key = ",\"direction\":", .value = action.direction },
    { .key = ",\"paired\":", .value = action.paired },
    { .key = ",\"grouped\":", .value = action.grouped },
    { .key = ",\"critical\":", .value = record->is_critical },
  };
  gboolean is_message = kind->is_send || kind->is_recv;
  for (gsize i = 0; i < G_N_ELEMENTS (rest); i++)
    if (rest[i].value != 0 || (is_message && i < 2)) {
      put (out, rest[i].key);
      put_integer (out, rest[i].value);
    }
  if (!is_exact) {
    put (out, ",\"start\":");
    put_exact (out, record->start);
    put (out, ",\"end\":");
    put_exact (out, record->end);
  }
  put (out, "}}");
}

/* The arrow leaves where the transfer starts and arrives inside the receive's slice. */
static void
put_flow (Output *out, const PwTrace *trace, const PwTraceFlows *flows, guint index, int thread) {
  const PwTraceRecord *record = &g_array_index (trace->records, PwTraceRecord, index);
  gboolean is_receive = pw_action_kinds[record->action.kind].is_recv;
  int64_t partner = flows->partner[index], send = is_receive ? partner : (int64_t)index;
  double time = record->start;
  if (is_receive) {
    double sent = g_array_index (trace->records, PwTraceRecord, send).start;
    time = MIN (MAX (time, sent), record->end);
  }
  start_event (out, is_receive
                        ? "{\"name\":\"message\",\"cat\":\"message\",\"ph\":\"f\",\"bp\":\"e\","
                        : "{\"name\":\"message\",\"cat\":\"message\",\"ph\":\"s\",");
  put_place (out, record->rank, thread);
  put (out, ",\"ts\":");
  put_short (out, time * out->scale);
  put (out, ",\"id\":");
  put_integer (out, send);
  put (out, "}");
}

static void
put_records (Output *out, const PwTrace *trace, const PwTraceFlows *flows) {
  for (guint i = 0; i < trace->records->len && !out->failed; i++) {
    const PwTraceRecord *record = &g_array_index (trace->records, PwTraceRecord, i);
    gboolean is_message = pw__trace_is_message (record);
    int thread
        = is_message ? thread_of (pw_action_kinds[record->action.kind].is_recv, flows->lane[i]) : 0;
    put_record (out, record, thread);
    if (flows->partner[i] != PW__FLOW_NONE)
      put_flow (out, trace, flows, i, thread);
  }
}

/* Between the computes of the same thread. */
static void
put_idle (Output *out, const PwTrace *trace) {
  static const char *const cause_colours[PW_IDLE_N] = { [PW_IDLE_DEPENDENCY] = "grey",
                                                        [PW_IDLE_TRANSFER] = "bad",
                                                        [PW_IDLE_QUEUE_HEAD] = "olive",
                                                        [PW_IDLE_MEMORY] = "rail_animation",
                                                        [PW_IDLE_BARRIER] = "white" };
  for (guint i = 0; i < trace->idle->len && !out->failed; i++) {
    const PwTraceIdle *idle = &g_array_index (trace->idle, PwTraceIdle, i);
    const char *name = pw_idle_names[idle->cause];
    start_event (out, "{\"name\":\"");
    put (out, name);
    put (out, "\",\"cat\":\"idle\",\"ph\":\"X\",");
    put_place (out, idle->rank, 0);
    gboolean is_exact = put_times (out, idle->start, idle->end);
    put (out, ",\"cname\":\"");
    put (out, cause_colours[idle->cause]);
    put (out, "\",\"args\":{\"idle\":\"");
    put (out, name);
    put (out, "\"");
    if (!is_exact) {
      put (out, ",\"start\":");
      put_exact (out, idle->start);
      put (out, ",\"end\":");
      put_exact (out, idle->end);
    }
    put (out, "}}");
  }
}

/* A counter's series are its args; a category that is 0 throughout is left out. */
static void
put_memory (Output *out, const PwTrace *trace) {
  gboolean is_used[PW_MEMORY_N] = { [PW_MEMORY_STASH] = TRUE };
  for (guint i = 0; i < trace->memory->len; i++)
    for (int c = 0; c < PW_MEMORY_N; c++)
      if (g_array_index (trace->memory, PwTraceMemory, i).bytes[c] != 0)
        is_used[c] = TRUE;
  for (guint i = 0; i < trace->memory->len && !out->failed; i++) {
    const PwTraceMemory *sample = &g_array_index (trace->memory, PwTraceMemory, i);
    start_event (out, "{\"name\":\"" PW__TRACE_MEMORY "\",\"ph\":\"C\",");
    put_place (out, sample->rank, 0);
    put (out, ",\"ts\":");
    if (put_short (out, sample->time * out->scale) / out->scale != sample->time) {
      put (out, ",\"time\":");
      put_exact (out, sample->time);
    }
    const char *opening = ",\"args\":{\"";
    for (int c = 0; c < PW_MEMORY_N; c++) {
      if (!is_used[c])
        continue;
      put (out, opening);
      put (out, pw_memory_names[c]);
      put (out, "\":");
      put_integer (out, sample->bytes[c]);
      opening = ",\"";
    }
    put (out, "}}");
  }
}

gboolean
pw_trace_write (const PwTrace *trace, const char *path, GError **error) {
  if (!pw_trace_check (trace, error)) {
    g_prefix_error (error, "%s: not written: ", path);
    return FALSE;
  }
  g_autoptr (PwFileWriter) file = pw_file_writer_open (path, error);
  if (file == NULL)
    return FALSE;
  PwTraceFlows flows;
  pw__trace_flows_init (&flows, trace);
  g_autofree Output *out = g_new (Output, 1);
  out->file = file;
  out->error = error;
  out->failed = FALSE;
  out->used = 0;
  out->scale = PW__TRACE_SCALE (trace->info.unitless);
  out->is_first = TRUE;
  put_header (out, &trace->info);
  put_names (out, trace, &flows);
  put_records (out, trace, &flows);
  put_idle (out, trace);
  put_memory (out, trace);
  put (out, "\n]}\n");
  flush (out);
  pw__trace_flows_clear (&flows);
  return !out->failed && pw_file_writer_commit (g_steal_pointer (&file), error);
}
