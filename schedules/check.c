#include "schedules/check.h"
#include "schedules/check_private.h"
#include "schedules/lower_private.h"
#include "schedules/schedule_private.h"

void
pw__check_log_add (PwCheckLog *log, PwScheduleError code, int rank, int64_t action,
                   const char *format, ...) {
  va_list arguments;
  va_start (arguments, format);
  PwCheckFinding finding = {
    .code = code, .rank = rank, .action = action, .message = g_strdup_vprintf (format, arguments)
  };
  va_end (arguments);
  g_array_append_val (log->findings, finding);
}

static void
check_run (const PwSchedule *schedule, const PwStageEdges *edges, const PwCrossings *crossings,
           const PwCheckOptions *options, PwCheckLog *log) {
  if (schedule->is_lowered) {
    pw__check_deadlock (schedule, edges, crossings, options->policy, log);
    return;
  }
  g_autoptr (GError) error = NULL;
  PwLowerOptions lower = { .policy = options->policy, .batched = options->batched };
  int rank;
  int64_t action;
  g_autoptr (PwSchedule) lowered
      = pw__schedule_lower_at (schedule, edges, &lower, &rank, &action, &error);
  if (lowered == NULL)
    pw__check_log_add (log, (PwScheduleError)error->code, rank, action, "%s", error->message);
  else
    pw__check_deadlock (lowered, edges, crossings, options->policy, log);
}

static void
check_plain (const PwSchedule *schedule, const PwStageEdges *edges, const PwCheckOptions *options,
             PwCheckReport *report, PwCheckLog *log) {
  g_autoptr (PwCrossings) crossings = pw__crossings_new (schedule->placement, edges);
  double weight_memory = options->weight_memory == 0 ? 0.5 : MAX (options->weight_memory, 0);
  pw__check_order (schedule, edges, crossings, log);
  if (log->findings->len == 0)
    check_run (schedule, edges, crossings, options, log);
  pw__check_memory (schedule, weight_memory, options->memory_limit, report->peak_activations, log);
  report->accumulation = pw__check_accumulation (schedule);
}

PwCheckReport *
pw_schedule_check (const PwSchedule *schedule, const PwStageEdges *edges,
                   const PwCheckOptions *options) {
  g_autoptr (GError) error = NULL;
  g_autoptr (PwSchedule) owned = NULL;
  g_autoptr (PwStageEdges) chain
      = edges == NULL ? pw_stage_edges_new_chain (schedule->stages) : NULL;
  PwCheckReport *report = g_new0 (PwCheckReport, 1);
  PwCheckLog log = { .findings = g_array_new (FALSE, FALSE, sizeof (PwCheckFinding)),
                     .max = options->max_findings > 0 ? (guint)options->max_findings : 20 };
  report->peak_activations = g_new0 (double, (gsize)schedule->ranks);
  const PwSchedule *plain = pw__schedule_plain (schedule, &owned, &error);
  if (plain == NULL)
    pw__check_log_add (&log, (PwScheduleError)error->code, -1, -1, "%s", error->message);
  else
    check_plain (plain, edges != NULL ? edges : chain, options, report, &log);
  report->n_findings = (int)log.findings->len;
  report->valid = report->n_findings == 0;
  report->findings = (PwCheckFinding *)(gpointer)g_array_free (log.findings, FALSE);
  return report;
}

void
pw_check_report_free (PwCheckReport *report) {
  if (report == NULL)
    return;
  for (int i = 0; i < report->n_findings; i++)
    g_free (report->findings[i].message);
  g_free (report->findings);
  g_free (report->peak_activations);
  g_free (report);
}
