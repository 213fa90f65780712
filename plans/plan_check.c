/* Places in a plan for messages, and what this version of the program cannot do. */
#include <stdarg.h>
#include <string.h>

#include "plans/plan_private.h"

GQuark
pw_plan_error_quark (void) {
  return g_quark_from_static_string ("pw-plan-error-quark");
}

char *
pw__plan_relative (const char *file, const char *name) {
  g_autofree char *folder = g_path_get_dirname (file);
  if (g_path_is_absolute (name) || strcmp (name, "-") == 0 || strcmp (folder, ".") == 0)
    return g_strdup (name);
  return g_build_filename (folder, name, NULL);
}

gboolean
pw__plan_is_overridden (const PwPlan *plan, const char *option) {
  gsize n;
  const PwPlanOverride *rows = pw_plan_overrides (&n);
  for (gsize i = 0; i < n; i++)
    if (strcmp (rows[i].name, option) == 0)
      return (plan->overridden >> i & 1) != 0;
  g_assert_not_reached ();
}

void
pw__plan_prefix_error (const PwPlan *plan, const char *key, const char *option, GError **error) {
  if (option != NULL && pw__plan_is_overridden (plan, option))
    g_prefix_error (error, "--%s: ", option);
  else
    pw_json_prefix_error ((PwJsonPlace){ .file = plan->json, .path = key }, error);
}

gboolean
pw__plan_fail (const PwPlan *plan, const char *key, const char *option, PwPlanError code,
               GError **error, const char *format, ...) {
  va_list arguments;
  va_start (arguments, format);
  g_autofree char *message = g_strdup_vprintf (format, arguments);
  va_end (arguments);
  g_set_error_literal (error, PW_PLAN_ERROR, (int)code, message);
  pw__plan_prefix_error (plan, key, option, error);
  return FALSE;
}

static gboolean
check_graphs (const PwPlan *plan, gboolean is_nccl, GError **error) {
  if (!plan->cuda_graphs)
    return TRUE;
  if (strcmp (plan->backend, "cuda") != 0)
    return pw__plan_fail (plan, "cuda_graphs", "cuda-graphs", PW_PLAN_ERROR_UNSUPPORTED, error,
                          "the backend \"%s\" has no graphs, \"cuda\" has", plan->backend);
  if (plan->ranks > 1 && !is_nccl)
    return pw__plan_fail (plan, "cuda_graphs", "cuda-graphs", PW_PLAN_ERROR_UNSUPPORTED, error,
                          "graphs of %d ranks need the transport \"nccl\": copies between ranks "
                          "cannot be captured",
                          plan->ranks);
  return TRUE;
}

gboolean
pw_plan_check_runnable (const PwPlan *plan, GError **error) {
  if (plan->data_parallel != 1)
    return pw__plan_fail (plan, "data_parallel", "data-parallel", PW_PLAN_ERROR_UNSUPPORTED, error,
                          "%d replicas can be simulated, not run", plan->data_parallel);
  if (plan->offload != NULL && strcmp (plan->offload, "none") != 0)
    return pw__plan_fail (plan, "offload", "offload", PW_PLAN_ERROR_UNSUPPORTED, error,
                          "offloaded stashes can be simulated, not run");
  if (plan->clip_norm > 0)
    return pw__plan_fail (plan, "clip_norm", "clip-norm", PW_PLAN_ERROR_UNSUPPORTED, error,
                          "clipped gradients can be simulated, not run");
  if (plan->precision != PW_PRECISION_FP32 && strcmp (plan->backend, "cpu") == 0)
    return pw__plan_fail (plan, "precision", "precision", PW_PLAN_ERROR_UNSUPPORTED, error,
                          "the cpu backend computes in fp32 only");
  if (plan->precision == PW_PRECISION_FP16)
    return pw__plan_fail (plan, "precision", "precision", PW_PLAN_ERROR_UNSUPPORTED, error,
                          "fp16 can be simulated, not run: its gradients need a scaled loss; "
                          "bf16 trains without");
  gboolean is_nccl = strcmp (plan->transport, "nccl") == 0;
  if (!is_nccl && strcmp (plan->transport, "threads") != 0)
    return pw__plan_fail (plan, "transport", "transport", PW_PLAN_ERROR_UNSUPPORTED, error,
                          "\"%s\" can be simulated, not run: \"threads\" and \"nccl\" can",
                          plan->transport);
  if (is_nccl && strcmp (plan->backend, "cuda") != 0)
    return pw__plan_fail (plan, "transport", "transport", PW_PLAN_ERROR_UNSUPPORTED, error,
                          "\"nccl\" carries memory of devices, the backend \"%s\" has none",
                          plan->backend);
  if (!check_graphs (plan, is_nccl, error))
    return FALSE;
  if (plan->params.pieces > 1)
    return pw__plan_fail (plan, "schedule.pieces", "pieces", PW_PLAN_ERROR_UNSUPPORTED, error,
                          "sequence pieces can be simulated, not run");
  return TRUE;
}

PwDtype
pw_precision_element (PwPrecision precision) {
  return precision == PW_PRECISION_BF16   ? PW_DTYPE_BF16
         : precision == PW_PRECISION_FP16 ? PW_DTYPE_F16
                                          : PW_DTYPE_F32;
}

int
pw_optimizer_slots (const PwOptimizerPlan *optimizer) {
  if (optimizer->kind == PW_OPTIMIZER_SGD)
    return optimizer->momentum > 0 ? 1 : 0;
  return 2;
}
