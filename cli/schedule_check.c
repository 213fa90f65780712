#include "cli/output.h"
#include "cli/table.h"
#include "cli/workload.h"
#include "io/file.h"
#include "schedules/check.h"
#include "schedules/csv.h"
#include <stdio.h>

static const char *const accumulation_names[] = { [PW_ACCUMULATION_ASCENDING] = "ascending",
                                                  [PW_ACCUMULATION_DESCENDING] = "descending",
                                                  [PW_ACCUMULATION_OTHER] = "other" };

/* The checks of one call: one policy, or all of them with and without batching. */
typedef struct {
  const char *name;
  gboolean all, valid;
  int weight_versions; /* of a stage at once; 1: synchronous */
  GArray *options;     /* PwCheckOptions */
  GPtrArray *reports;
  GError *syntax; /* instead of reports */
} Checks;

static void
checks_clear (Checks *checks) {
  g_array_unref (checks->options);
  g_ptr_array_unref (checks->reports);
  g_clear_error (&checks->syntax);
}

static void
free_report (gpointer report) {
  pw_check_report_free (report);
}

/* Batching is a matter of lowering: a schedule with its messages is batched or it is not. */
static void
list_options (Checks *checks, const PwSynthetic *synthetic, const PwSchedule *schedule) {
  gboolean fixed = schedule->is_lowered;
  PwCheckOptions options = { .policy = synthetic->policy,
                             .batched = fixed ? schedule->batched : synthetic->batched,
                             .memory_limit = synthetic->params.memory_limit,
                             .weight_memory = synthetic->params.weight_memory };
  if (!checks->all) {
    g_array_append_val (checks->options, options);
    return;
  }
  gboolean first = options.batched, last = fixed ? first : TRUE;
  for (PwPolicy policy = 0; policy < PW_POLICY_N; policy++)
    for (gboolean batched = first; batched <= last; batched++) {
      options.policy = policy;
      options.batched = batched;
      g_array_append_val (checks->options, options);
    }
}

/* Whether ERROR is about the schedule's text rather than about reading or naming it. */
static gboolean
is_about_schedule (const GError *error) {
  return error->domain == PW_SCHEDULE_ERROR && error->code <= PW_SCHEDULE_ERROR_SYNTAX;
}

static gboolean
check (Checks *checks, const PwSynthetic *synthetic, GError **error) {
  GError *found = NULL;
  g_autoptr (PwSchedule) schedule = pw_simulate_schedule (synthetic, &found);
  if (!schedule && !is_about_schedule (found)) {
    g_propagate_error (error, found);
    return FALSE;
  }
  checks->valid = schedule != NULL;
  checks->syntax = found;
  if (schedule) {
    list_options (checks, synthetic, schedule);
    checks->weight_versions = schedule->promise.synchronous ? 1 : schedule->promise.weight_versions;
  }
  for (guint i = 0; schedule && i < checks->options->len; i++) {
    PwCheckReport *report
        = pw_schedule_check (schedule, NULL, &g_array_index (checks->options, PwCheckOptions, i));
    checks->valid = checks->valid && report->valid;
    g_ptr_array_add (checks->reports, report);
  }
  return TRUE;
}

/* Report I repeats what an earlier one said already: structure does not depend on the policy. */
static gboolean
is_repeated (const Checks *checks, guint i, const PwCheckFinding *finding) {
  for (guint j = 0; j < i; j++) {
    const PwCheckReport *earlier = checks->reports->pdata[j];
    for (int k = 0; k < earlier->n_findings; k++)
      if (earlier->findings[k].code == finding->code
          && g_str_equal (earlier->findings[k].message, finding->message))
        return TRUE;
  }
  return FALSE;
}

/* Calls FUNC for the syntax error or for each finding once, in order. */
static void
for_each_error (const Checks *checks, void (*func) (const PwCheckFinding *, gpointer),
                gpointer data) {
  if (checks->syntax) {
    PwCheckFinding finding = { .code = (PwScheduleError)checks->syntax->code,
                               .rank = -1,
                               .action = -1,
                               .message = checks->syntax->message };
    func (&finding, data);
  }
  for (guint i = 0; i < checks->reports->len; i++) {
    const PwCheckReport *report = checks->reports->pdata[i];
    const PwCheckOptions *options = &g_array_index (checks->options, PwCheckOptions, i);
    for (int k = 0; k < report->n_findings; k++) {
      PwCheckFinding finding = report->findings[k];
      if (is_repeated (checks, i, &finding))
        continue;
      g_autofree char *message = NULL;
      /* A deadlock's message begins with its policy. */
      if (options->batched && finding.code == PW_SCHEDULE_ERROR_DEADLOCK)
        finding.message = message = g_strconcat ("batched, ", finding.message, NULL);
      func (&finding, data);
    }
  }
}

static const char *
accumulation (const Checks *checks) {
  if (checks->reports->len == 0)
    return NULL;
  return accumulation_names[((const PwCheckReport *)checks->reports->pdata[0])->accumulation];
}

static void
append_json (const PwCheckFinding *finding, gpointer data) {
  json_t *object = json_object ();
  json_object_set_new (object, "code", json_string (pw_schedule_error_codes[finding->code]));
  json_object_set_new (object, "rank",
                       finding->rank >= 0 ? json_integer (finding->rank) : json_null ());
  json_object_set_new (object, "action",
                       finding->action >= 0 ? json_integer (finding->action) : json_null ());
  json_object_set_new (object, "message", json_string (finding->message));
  json_array_append_new (data, object);
}

static void
print_json (const Checks *checks) {
  json_t *object = json_object ();
  json_object_set_new (object, "valid", json_boolean (checks->valid));
  json_t *policies = json_array ();
  for (guint i = 0; i < checks->reports->len; i++) {
    const PwCheckReport *report = checks->reports->pdata[i];
    const PwCheckOptions *options = &g_array_index (checks->options, PwCheckOptions, i);
    json_t *policy = json_object ();
    json_object_set_new (policy, "policy", json_string (pw_policies[options->policy].name));
    json_object_set_new (policy, "batched", json_boolean (options->batched));
    json_object_set_new (policy, "valid", json_boolean (report->valid));
    json_array_append_new (policies, policy);
  }
  json_object_set_new (object, "policies", policies);
  json_object_set_new (object, "accumulation", pw_output_string (accumulation (checks)));
  json_t *errors = json_array ();
  for_each_error (checks, append_json, errors);
  json_object_set_new (object, "errors", errors);
  pw_output_json (object);
}

static void
print_finding (const PwCheckFinding *finding, gpointer data) {
  (void)data;
  /* A deadlock's cycle: a line for each step. */
  g_auto (GStrv) steps = g_strsplit (finding->message, "; ", -1);
  g_autofree char *lines = g_strjoinv ("\n  ", steps);
  printf ("%s: %s\n", pw_schedule_error_codes[finding->code], lines);
}

static void
print_text (const Checks *checks) {
  printf ("%s: %s\n", checks->name, checks->valid ? "valid" : "not valid");
  if (accumulation (checks))
    printf ("accumulation: %s\n", accumulation (checks));
  if (checks->weight_versions > 1)
    printf ("asynchronous: up to %d versions of a stage's weights at once\n",
            checks->weight_versions);
  if (checks->reports->len > 0) {
    printf ("\n");
    static const char *const headings[] = { "<policy", "<batched", "<valid", "<what it is", NULL };
    g_autoptr (PwTable) table = pw_table_new (headings);
    for (guint i = 0; i < checks->reports->len; i++) {
      const PwCheckReport *report = checks->reports->pdata[i];
      const PwCheckOptions *options = &g_array_index (checks->options, PwCheckOptions, i);
      pw_table_row (table);
      pw_table_text (table, pw_policies[options->policy].name);
      pw_table_text (table, options->batched ? "yes" : "no");
      pw_table_text (table, report->valid ? "yes" : "no");
      pw_table_text (table, pw_policies[options->policy].summary);
    }
    pw_table_print (table);
  }
  if (!checks->valid)
    printf ("\n");
  for_each_error (checks, print_finding, NULL);
}

static int
run (PwCall *call, GError **error) {
  if (!pw_call_parse (call, NULL, error) || !pw_workload_name_schedule (call, error))
    return PW_EXIT_DONE;
  const char *policy = pw_settings_get (call->settings, "p2p-policy");
  Checks checks = { .all = policy && g_str_equal (policy, "all"),
                    .options = g_array_new (FALSE, FALSE, sizeof (PwCheckOptions)),
                    .reports = g_ptr_array_new_with_free_func (free_report) };
  if (checks.all)
    pw_settings_set (call->settings, "p2p-policy", pw_policies[PW_POLICY_DEFAULT].name);
  int status = PW_EXIT_USAGE;
  g_auto (PwWorkloadSynthetic) workload = { 0 };
  if (pw_workload_synthetic (call->settings, FALSE, &workload, error)) {
    checks.name = workload.synthetic.schedule;
    if (check (&checks, &workload.synthetic, error)) {
      if (call->json)
        print_json (&checks);
      else
        print_text (&checks);
      status = checks.valid ? PW_EXIT_DONE : PW_EXIT_NO;
    }
  }
  checks_clear (&checks);
  return status;
}

const PwCommand pw_command_schedule_check = {
  .name = "schedule check",
  .arguments = "NAME|FILE",
  .max_arguments = 1,
  .takes = PW_TAKES_SCHEDULE,
  .has_json = TRUE,
  .summary = "proves a schedule complete, in order, and free of deadlock",
  .details = "Checks a schedule by name, or a CSV file: nothing missing, nothing twice, every\n"
             "dependency kept, memory within --memory-limit, and no deadlock under --p2p-policy\n"
             "(a policy, or all: each with and without batching, unless a file has its messages\n"
             "already). Exit status 1: not valid.",
  .example = "  pipewright schedule check plan.csv --p2p-policy all\n"
             "    says under which transport policies the schedule of a file runs through",
  .run = run,
};
