/* What summary, differences and the files share. */
#pragma once
#include "traces/trace.h"

static inline gboolean
pw__trace_is_message (const PwTraceRecord *record) {
  const PwActionKindInfo *kind = &pw_action_kinds[record->action.kind];
  return kind->is_send || kind->is_recv;
}

/* Sorts VALUES; of an even number the mean of the middle two; 0 of none. */
double pw__trace_median (double *values, gsize n);

/* As pw_trace_summarise, of the iterations FIRST to LAST. */
PwTraceSummary *pw__trace_summarise_range (const PwTrace *trace, int first, int last);
