#include "traces/trace_private.h"

#include <math.h>

#include "traces/chrome.h"

GQuark
pw_trace_error_quark (void) {
  return g_quark_from_static_string ("pw-trace-error-quark");
}

PwTrace *
pw_trace_new (void) {
  PwTrace *trace = g_new0 (PwTrace, 1);
  trace->records = g_array_new (FALSE, FALSE, sizeof (PwTraceRecord));
  trace->memory = g_array_new (FALSE, FALSE, sizeof (PwTraceMemory));
  trace->idle = g_array_new (FALSE, FALSE, sizeof (PwTraceIdle));
  return trace;
}

void
pw_trace_free (PwTrace *trace) {
  if (trace == NULL)
    return;
  g_free (trace->info.source);
  g_free (trace->info.schedule);
  g_free (trace->info.model);
  g_free (trace->info.policy);
  g_free (trace->info.transport);
  g_free (trace->info.backend);
  g_free (trace->info.clock);
  g_array_unref (trace->records);
  g_array_unref (trace->memory);
  g_array_unref (trace->idle);
  g_free (trace);
}

static gint
compare_records (gconstpointer left, gconstpointer right) {
  const PwTraceRecord *a = left, *b = right;
  if (a->rank != b->rank)
    return a->rank < b->rank ? -1 : 1;
  return (a->start > b->start) - (a->start < b->start);
}

static gint
compare_memory (gconstpointer left, gconstpointer right) {
  const PwTraceMemory *a = left, *b = right;
  if (a->rank != b->rank)
    return a->rank < b->rank ? -1 : 1;
  return (a->time > b->time) - (a->time < b->time);
}

static gint
compare_idle (gconstpointer left, gconstpointer right) {
  const PwTraceIdle *a = left, *b = right;
  if (a->rank != b->rank)
    return a->rank < b->rank ? -1 : 1;
  return (a->start > b->start) - (a->start < b->start);
}

/* Files and simulations come sorted, and a sort of a million records copies them all. */
static void
sort_unless_sorted (GArray *array, GCompareFunc compare) {
  gsize size = g_array_get_element_size (array);
  for (gsize i = 1; i < array->len; i++) {
    const char *item = array->data + i * size;
    if (compare (item - size, item) > 0) {
      g_array_sort (array, compare); /* stable: equal starts keep the order they were added in */
      return;
    }
  }
}

void
pw_trace_finish (PwTrace *trace) {
  sort_unless_sorted (trace->records, compare_records);
  sort_unless_sorted (trace->memory, compare_memory);
  sort_unless_sorted (trace->idle, compare_idle);
  int ranks = 0, stages = 0, microbatches = 0, iterations = 0;
  for (guint i = 0; i < trace->records->len; i++) {
    const PwTraceRecord *record = &g_array_index (trace->records, PwTraceRecord, i);
    ranks = MAX (ranks, record->rank + 1);
    stages = MAX (stages, (int)record->action.stage + 1);
    iterations = MAX (iterations, record->iteration + 1);
    if (pw_action_kinds[record->action.kind].has_microbatch)
      microbatches = MAX (microbatches, (int)record->action.microbatch + 1);
  }
  PwTraceInfo *info = &trace->info;
  info->iterations = iterations;
  if (info->ranks == 0)
    info->ranks = ranks;
  if (info->stages == 0)
    info->stages = stages;
  if (info->microbatches == 0)
    info->microbatches = microbatches;
  if (info->chunks == 0 && info->ranks > 0)
    info->chunks = MAX (1, info->stages / info->ranks);
}

static gboolean
fail (const PwTraceRecord *record, GError **error, const char *what) {
  char text[PW_ACTION_TEXT_MAX];
  g_set_error (error, PW_TRACE_ERROR, PW_TRACE_ERROR_FORMAT, "rank %d, iteration %d, %s: %s",
               record->rank, record->iteration, pw_action_format (record->action, text), what);
  return FALSE;
}

static gboolean
check_record (const PwTraceInfo *info, const PwTraceRecord *record, GError **error) {
  if (record->rank < 0 || record->rank >= info->ranks)
    return fail (record, error, "the rank is not one of the trace's");
  if (record->action.stage >= info->stages)
    return fail (record, error, "the stage is not one of the trace's");
  if (record->iteration < 0)
    return fail (record, error, "the iteration is negative");
  if (!isfinite (record->start) || !isfinite (record->end))
    return fail (record, error, "a time is not a number");
  if (record->end < record->start)
    return fail (record, error, "it ends before it starts");
  if (record->bytes < 0)
    return fail (record, error, "the bytes are negative");
  return TRUE;
}

static gboolean
check_memory (const PwTrace *trace, GError **error) {
  for (guint i = 0; i < trace->memory->len; i++) {
    const PwTraceMemory *sample = &g_array_index (trace->memory, PwTraceMemory, i);
    const char *what = NULL;
    if (sample->rank < 0 || sample->rank >= trace->info.ranks)
      what = "the rank is not one of the trace's";
    else if (!isfinite (sample->time))
      what = "the time is not a number";
    else if (i > 0 && compare_memory (sample - 1, sample) > 0)
      what = "not ordered by rank and time";
    for (int c = 0; c < PW_MEMORY_N && what == NULL; c++)
      if (sample->bytes[c] < 0)
        what = "the bytes are negative";
    if (what != NULL) {
      g_set_error (error, PW_TRACE_ERROR, PW_TRACE_ERROR_FORMAT, "rank %d, memory at %g: %s",
                   sample->rank, sample->time, what);
      return FALSE;
    }
  }
  return TRUE;
}

static gboolean
check_idle (const PwTrace *trace, GError **error) {
  for (guint i = 0; i < trace->idle->len; i++) {
    const PwTraceIdle *idle = &g_array_index (trace->idle, PwTraceIdle, i);
    const char *what = NULL;
    if (idle->rank < 0 || idle->rank >= trace->info.ranks)
      what = "the rank is not one of the trace's";
    else if (!isfinite (idle->start) || !isfinite (idle->end))
      what = "a time is not a number";
    else if (idle->end < idle->start)
      what = "it ends before it starts";
    else if (i > 0 && compare_idle (idle - 1, idle) > 0)
      what = "not ordered by rank and start";
    if (what != NULL) {
      g_set_error (error, PW_TRACE_ERROR, PW_TRACE_ERROR_FORMAT, "rank %d, idle at %g: %s",
                   idle->rank, idle->start, what);
      return FALSE;
    }
  }
  return TRUE;
}

gboolean
pw_trace_check (const PwTrace *trace, GError **error) {
  const PwTraceRecord *compute = NULL; /* the rank's last */
  for (guint i = 0; i < trace->records->len; i++) {
    const PwTraceRecord *record = &g_array_index (trace->records, PwTraceRecord, i);
    if (!check_record (&trace->info, record, error))
      return FALSE;
    if (i > 0 && compare_records (record - 1, record) > 0)
      return fail (record, error, "not ordered by rank and start");
    if (!pw_action_kinds[record->action.kind].is_compute)
      continue;
    gboolean overlaps = compute != NULL && compute->rank == record->rank
                        && record->start < compute->end && !compute->action.paired;
    if (overlaps)
      return fail (record, error, "it starts before the rank's previous action has ended");
    compute = record;
  }
  return check_memory (trace, error) && check_idle (trace, error);
}
