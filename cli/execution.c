#include "cli/execution.h"
#include "cli/command.h"
#include <signal.h>

gboolean
pw_execution_options (const PwPlan *plan, PwExecOptions *options, GError **error) {
  if (!pw_plan_check_runnable (plan, error))
    return FALSE;
  options->backend = pw_backend_get (plan->backend);
  if (!options->backend)
    return pw_input_fail (error, "backend: this build has no %s", plan->backend);
  options->transport = pw_transport_get (plan->transport);
  if (!options->transport)
    return pw_input_fail (error, "transport: this build has no %s", plan->transport);
  options->memory_limit = plan->memory_limit;
  return TRUE;
}

void
pw_execution_set_data (PwPlan *plan, const char *file) {
  if (!file)
    return;
  plan->data.kind = PW_DATA_TEXT;
  g_free (plan->data.path);
  plan->data.path = g_strdup (file);
}

static volatile int interrupted;

static void
on_interrupt (int signal) {
  (void) signal;
  interrupted = 1;
}

const volatile int *
pw_execution_catch_interrupt (void) {
  struct sigaction action = { .sa_handler = on_interrupt, .sa_flags = (int) (SA_RESTART | SA_RESETHAND) };
  sigemptyset (&action.sa_mask);
  sigaction (SIGINT, &action, NULL);
  return &interrupted;
}
