/* Events of other programs, and ours that carry no action (names, arrows), are passed over; an
 * event with args.action is ours and must be complete. */
#include "traces/chrome.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

#include "io/stream.h"
#include "traces/chrome_private.h"

#define WHOLE_MAX 9007199254740992.0 /* 2^53: beyond, doubles skip whole numbers */
#define ITERATIONS_MAX 16777215

typedef struct {
  const char *path;
  PwTrace *trace;
  gboolean is_ours;
  double version; /* NAN: not seen yet */
  gsize n_events; /* of the file, before this one */
  gsize line;     /* of this one */
  GError **error;
} Reader;

static gboolean fail (Reader *reader, PwTraceError code, const char *key, const char *format, ...)
    G_GNUC_PRINTF (4, 5);

static gboolean
fail (Reader *reader, PwTraceError code, const char *key, const char *format, ...) {
  va_list arguments;
  va_start (arguments, format);
  g_autofree char *what = g_strdup_vprintf (format, arguments);
  va_end (arguments);
  g_set_error (reader->error, PW_TRACE_ERROR, code, "%s:%zu: %s: %s", reader->path, reader->line,
               key, what);
  return FALSE;
}

static gboolean
fail_event (Reader *reader, const char *key, const char *what) {
  g_autofree char *place = g_strdup_printf ("traceEvents[%zu].%s", reader->n_events, key);
  return fail (reader, PW_TRACE_ERROR_FORMAT, place, "%s", what);
}

static gboolean
is_whole (double value, double minimum, double maximum) {
  return value >= minimum && value <= maximum && value == floor (value);
}

/* The header, otherData. */

typedef enum { HEADER_TEXT, HEADER_INT, HEADER_BOOLEAN } HeaderType;
typedef struct {
  const char *key;
  HeaderType type;
  gsize offset; /* in PwTraceInfo */
  double maximum;
} HeaderKey;

static const HeaderKey header_keys[] = {
  { .key = "source", .type = HEADER_TEXT, .offset = offsetof (PwTraceInfo, source) },
  { .key = "schedule", .type = HEADER_TEXT, .offset = offsetof (PwTraceInfo, schedule) },
  { .key = "model", .type = HEADER_TEXT, .offset = offsetof (PwTraceInfo, model) },
  { .key = "policy", .type = HEADER_TEXT, .offset = offsetof (PwTraceInfo, policy) },
  { .key = "transport", .type = HEADER_TEXT, .offset = offsetof (PwTraceInfo, transport) },
  { .key = "backend", .type = HEADER_TEXT, .offset = offsetof (PwTraceInfo, backend) },
  { .key = "clock", .type = HEADER_TEXT, .offset = offsetof (PwTraceInfo, clock) },
  { .key = "unitless", .type = HEADER_BOOLEAN, .offset = offsetof (PwTraceInfo, unitless) },
  { .key = "ranks",
    .type = HEADER_INT,
    .offset = offsetof (PwTraceInfo, ranks),
    .maximum = PW_STAGES_MAX },
  { .key = "stages",
    .type = HEADER_INT,
    .offset = offsetof (PwTraceInfo, stages),
    .maximum = PW_STAGES_MAX },
  { .key = "microbatches",
    .type = HEADER_INT,
    .offset = offsetof (PwTraceInfo, microbatches),
    .maximum = PW_MICROBATCHES_MAX },
  { .key = "chunks",
    .type = HEADER_INT,
    .offset = offsetof (PwTraceInfo, chunks),
    .maximum = PW_STAGES_MAX },
  { .key = "iterations",
    .type = HEADER_INT,
    .offset = offsetof (PwTraceInfo, iterations),
    .maximum = ITERATIONS_MAX },
};

static gboolean
read_header_field (Reader *reader, const HeaderKey *row, const PwStreamField *field) {
  char *target = (char *)&reader->trace->info + row->offset;
  if (row->type == HEADER_TEXT) {
    if (field->string == NULL)
      return fail (reader, PW_TRACE_ERROR_FORMAT, field->path, "expected a text");
    char **text = (char **)(void *)target;
    g_free (*text);
    *text = g_strdup (field->string);
    return TRUE;
  }
  if (field->string != NULL)
    return fail (reader, PW_TRACE_ERROR_FORMAT, field->path, "expected a number, not \"%s\"",
                 field->string);
  double maximum = row->type == HEADER_BOOLEAN ? 1 : row->maximum;
  if (!is_whole (field->number, 0, maximum))
    return fail (reader, PW_TRACE_ERROR_FORMAT, field->path,
                 "%g is not a whole number from 0 to %.0f", field->number, maximum);
  *(int *)(void *)target = (int)field->number; /* gboolean is an int */
  return TRUE;
}

static gboolean
read_version (Reader *reader, const PwStreamField *field) {
  if (field->string != NULL || !is_whole (field->number, 1, G_MAXINT))
    return fail (reader, PW_TRACE_ERROR_VERSION, field->path, "expected a whole number from 1");
  if (field->number > PW_TRACE_VERSION)
    return fail (reader, PW_TRACE_ERROR_VERSION, field->path,
                 "the file has version %.0f, this program reads up to %d", field->number,
                 PW_TRACE_VERSION);
  reader->version = field->number;
  return TRUE;
}

static gboolean
read_other (const PwStreamField *field, gsize line, gpointer data, GError **error) {
  Reader *reader = data;
  reader->line = line;
  reader->error = error;
  static const char header[] = "otherData.";
  if (!g_str_has_prefix (field->path, header))
    return TRUE;
  const char *key = field->path + sizeof header - 1;
  if (strcmp (key, "format") == 0)
    reader->is_ours = g_strcmp0 (field->string, PW__TRACE_FORMAT) == 0;
  if (strcmp (key, "version") == 0)
    return read_version (reader, field);
  for (gsize i = 0; i < G_N_ELEMENTS (header_keys); i++)
    if (strcmp (key, header_keys[i].key) == 0)
      return read_header_field (reader, &header_keys[i], field);
  return TRUE;
}

/* One event. What is absent, or not of the type, stays NAN or NULL. */
typedef struct {
  const char *phase, *name, *action, *idle;
  double pid, ts, duration, time;
  double iteration, edge, bytes, direction, paired, grouped, critical, start, end;
  double memory[PW_MEMORY_N];
  gboolean has_memory;
} Event;

typedef struct {
  const char *key;
  gsize offset;
  gboolean is_text;
} EventKey;

static const EventKey event_keys[] = {
  { .key = "ph", .offset = offsetof (Event, phase), .is_text = TRUE },
  { .key = "name", .offset = offsetof (Event, name), .is_text = TRUE },
  { .key = "pid", .offset = offsetof (Event, pid) },
  { .key = "ts", .offset = offsetof (Event, ts) },
  { .key = "dur", .offset = offsetof (Event, duration) },
  { .key = "time", .offset = offsetof (Event, time) },
};

static const EventKey argument_keys[] = {
  { .key = "action", .offset = offsetof (Event, action), .is_text = TRUE },
  { .key = "idle", .offset = offsetof (Event, idle), .is_text = TRUE },
  { .key = "iteration", .offset = offsetof (Event, iteration) },
  { .key = "edge", .offset = offsetof (Event, edge) },
  { .key = "bytes", .offset = offsetof (Event, bytes) },
  { .key = "direction", .offset = offsetof (Event, direction) },
  { .key = "paired", .offset = offsetof (Event, paired) },
  { .key = "grouped", .offset = offsetof (Event, grouped) },
  { .key = "critical", .offset = offsetof (Event, critical) },
  { .key = "start", .offset = offsetof (Event, start) },
  { .key = "end", .offset = offsetof (Event, end) },
};

static void
take_field (Event *event, const EventKey *keys, gsize n_keys, const char *key,
            const PwStreamField *field) {
  for (gsize i = 0; i < n_keys; i++) {
    if (strcmp (key, keys[i].key) != 0)
      continue;
    char *target = (char *)event + keys[i].offset;
    if (keys[i].is_text)
      *(const char **)(void *)target = field->string;
    else if (field->string == NULL)
      *(double *)(void *)target = field->number;
    return;
  }
  for (int c = 0; c < PW_MEMORY_N && keys == argument_keys; c++)
    if (field->string == NULL && strcmp (key, pw_memory_names[c]) == 0) {
      event->memory[c] = field->number;
      event->has_memory = TRUE;
    }
}

static void
take_fields (Event *event, const PwStreamField *fields, gsize n_fields) {
  for (gsize i = 0; i < n_fields; i++) {
    const char *path = fields[i].path;
    if (strncmp (path, "args.", 5) == 0)
      take_field (event, argument_keys, G_N_ELEMENTS (argument_keys), path + 5, &fields[i]);
    else
      take_field (event, event_keys, G_N_ELEMENTS (event_keys), path, &fields[i]);
  }
}

static gboolean
parse_digits (const char **text, guint64 maximum, guint64 *value) {
  const char *c = *text;
  *value = 0;
  while (g_ascii_isdigit (*c) && *value <= maximum)
    *value = *value * 10 + (guint64)(*c++ - '0');
  gboolean ok = c != *text && *value <= maximum;
  *text = c;
  return ok;
}

/* "2F5", "1SEND_F0", "3U" */
static gboolean
parse_action (const char *text, PwAction *action) {
  guint64 stage, microbatch = 0;
  if (!parse_digits (&text, PW_STAGES_MAX, &stage))
    return FALSE;
  gsize length = strspn (text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_");
  int kind = 0;
  while (kind < PW_ACTION_N
         && (strncmp (text, pw_action_kinds[kind].name, length) != 0
             || pw_action_kinds[kind].name[length] != '\0'))
    kind++;
  if (length == 0 || kind == PW_ACTION_N)
    return FALSE;
  text += length;
  if (pw_action_kinds[kind].has_microbatch
      && !parse_digits (&text, PW_MICROBATCHES_MAX, &microbatch))
    return FALSE;
  *action = pw_action ((PwActionKind)kind, (int)stage, (int64_t)microbatch);
  return *text == '\0';
}

/* FALLBACK NAN: required. */
static gboolean
take_whole (Reader *reader, double value, double fallback, double maximum, const char *key,
            double *out) {
  if (isnan (value))
    value = fallback;
  if (isnan (value))
    return fail_event (reader, key, "missing, or not a number");
  if (!is_whole (value, 0, maximum)) {
    g_autofree char *what
        = g_strdup_printf ("%g is not a whole number from 0 to %.0f", value, maximum);
    return fail_event (reader, key, what);
  }
  *out = value;
  return TRUE;
}

static gboolean
take_action (Reader *reader, const Event *event, PwAction *action) {
  if (!parse_action (event->action, action)) {
    g_autofree char *what = g_strdup_printf ("\"%s\" is not an action", event->action);
    return fail_event (reader, "args.action", what);
  }
  double edge, direction, paired, grouped;
  if (!take_whole (reader, event->edge, 0, PW_EDGES_MAX, "args.edge", &edge)
      || !take_whole (reader, event->direction, 0, 1, "args.direction", &direction)
      || !take_whole (reader, event->paired, 0, 1, "args.paired", &paired)
      || !take_whole (reader, event->grouped, 0, 1, "args.grouped", &grouped))
    return FALSE;
  action->edge = (uint16_t)edge;
  action->direction = direction != 0;
  action->paired = paired != 0;
  action->grouped = grouped != 0;
  return TRUE;
}

static gboolean
take_rank (Reader *reader, const Event *event, int32_t *rank) {
  int ranks = reader->trace->info.ranks;
  double pid = 0;
  if (!take_whole (reader, event->pid, NAN, (ranks > 0 ? ranks : PW_STAGES_MAX) - 1, "pid", &pid))
    return FALSE;
  *rank = (int32_t)pid;
  return TRUE;
}

static gboolean
take_times (Reader *reader, const Event *event, double *start, double *end) {
  if (!isfinite (event->ts))
    return fail_event (reader, "ts", "missing, or not a number");
  if (!isfinite (event->duration))
    return fail_event (reader, "dur", "missing, or not a number");
  if (event->duration < 0)
    return fail_event (reader, "dur", "negative");
  double scale = PW__TRACE_SCALE (reader->trace->info.unitless);
  *start = isnan (event->start) ? event->ts / scale : event->start;
  *end = isnan (event->end) ? (event->ts + event->duration) / scale : event->end;
  if (*end < *start)
    return fail_event (reader, "args.end", "before args.start");
  return TRUE;
}

static gboolean
read_record (Reader *reader, const Event *event) {
  PwTraceRecord record = { 0 };
  double iteration, bytes, critical;
  if (!take_action (reader, event, &record.action) || !take_rank (reader, event, &record.rank)
      || !take_times (reader, event, &record.start, &record.end)
      || !take_whole (reader, event->iteration, NAN, ITERATIONS_MAX, "args.iteration", &iteration)
      || !take_whole (reader, event->bytes, 0, WHOLE_MAX, "args.bytes", &bytes)
      || !take_whole (reader, event->critical, 0, 1, "args.critical", &critical))
    return FALSE;
  record.is_critical = critical > 0;
  record.iteration = (int32_t)iteration;
  record.bytes = (int64_t)bytes;
  g_array_append_val (reader->trace->records, record);
  return TRUE;
}

static gboolean
read_idle (Reader *reader, const Event *event) {
  PwTraceIdle idle = { .cause = PW_IDLE_DEPENDENCY };
  while (idle.cause < PW_IDLE_N && strcmp (pw_idle_names[idle.cause], event->idle) != 0)
    idle.cause++;
  if (idle.cause == PW_IDLE_N) {
    g_autofree char *what = g_strdup_printf ("\"%s\" is no cause of idleness", event->idle);
    return fail_event (reader, "args.idle", what);
  }
  if (!take_rank (reader, event, &idle.rank) || !take_times (reader, event, &idle.start, &idle.end))
    return FALSE;
  g_array_append_val (reader->trace->idle, idle);
  return TRUE;
}

static gboolean
read_memory (Reader *reader, const Event *event) {
  PwTraceMemory sample = { 0 };
  if (!take_rank (reader, event, &sample.rank))
    return FALSE;
  if (!isfinite (event->ts))
    return fail_event (reader, "ts", "missing, or not a number");
  double scale = PW__TRACE_SCALE (reader->trace->info.unitless);
  sample.time = isnan (event->time) ? event->ts / scale : event->time;
  for (int c = 0; c < PW_MEMORY_N; c++) {
    double bytes;
    if (!take_whole (reader, event->memory[c], 0, WHOLE_MAX, "args", &bytes))
      return FALSE;
    sample.bytes[c] = (int64_t)bytes;
  }
  g_array_append_val (reader->trace->memory, sample);
  return TRUE;
}

static gboolean
read_event (const PwStreamField *fields, gsize n_fields, gsize line, gpointer data,
            GError **error) {
  Reader *reader = data;
  reader->line = line;
  reader->error = error;
  static const Event empty = {
    .pid = NAN,
    .ts = NAN,
    .duration = NAN,
    .time = NAN,
    .iteration = NAN,
    .edge = NAN,
    .bytes = NAN,
    .direction = NAN,
    .paired = NAN,
    .grouped = NAN,
    .critical = NAN,
    .start = NAN,
    .end = NAN,
  };
  Event event = empty;
  take_fields (&event, fields, n_fields);
  gboolean is_record = event.action != NULL && g_strcmp0 (event.phase, "X") == 0;
  gboolean is_idle = !is_record && event.idle != NULL && g_strcmp0 (event.phase, "X") == 0;
  gboolean is_memory = event.has_memory && g_strcmp0 (event.phase, "C") == 0
                       && g_strcmp0 (event.name, PW__TRACE_MEMORY) == 0;
  gboolean ok = TRUE;
  if ((is_record || is_idle || is_memory) && (!reader->is_ours || isnan (reader->version)))
    ok = fail (reader, PW_TRACE_ERROR_FORMAT, "otherData",
               "a header with format \"" PW__TRACE_FORMAT "\" and a version must stand before "
               "traceEvents");
  else if (is_record)
    ok = read_record (reader, &event);
  else if (is_idle)
    ok = read_idle (reader, &event);
  else if (is_memory)
    ok = read_memory (reader, &event);
  reader->n_events++;
  return ok;
}

PwTrace *
pw_trace_read (const char *path, GError **error) {
  static const PwStreamHandlers handlers = { .element = read_event, .other = read_other };
  g_autoptr (PwTrace) trace = pw_trace_new ();
  Reader reader = { .path = path, .trace = trace, .version = NAN };
  if (!pw_stream_read (path, "traceEvents", &handlers, &reader, error))
    return NULL;
  if (!reader.is_ours || isnan (reader.version)) {
    g_set_error (error, PW_TRACE_ERROR, PW_TRACE_ERROR_FORMAT,
                 "%s: otherData: no format \"%s\" with a version: not a trace of pipewright", path,
                 PW__TRACE_FORMAT);
    return NULL;
  }
  if (trace->records->len == 0) {
    g_set_error (error, PW_TRACE_ERROR, PW_TRACE_ERROR_FORMAT, "%s: traceEvents: holds no action",
                 path);
    return NULL;
  }
  pw_trace_finish (trace);
  if (!pw_trace_check (trace, error)) {
    g_prefix_error (error, "%s: ", path);
    return NULL;
  }
  return g_steal_pointer (&trace);
}
