/* What the executor can do of a plan's precision. */
#include "exec/exec_private.h"

static gboolean
fail (GError **error, const char *message) {
  g_set_error_literal (error, PW_EXEC_ERROR, PW_EXEC_ERROR_UNSUPPORTED, message);
  return FALSE;
}

gboolean
pw__check_precision (const PwExec *exec, GError **error) {
  PwPrecision precision = exec->resolved->precision;
  if (precision != PW_PRECISION_FP32 && exec->backend == &pw_backend_cpu)
    return fail (error, "the cpu backend computes in fp32 only");
  if (precision == PW_PRECISION_FP16 && exec->is_training)
    return fail (error, "gradients in fp16 need their loss scaled, which the executor does not do: "
                        "bf16 trains without");
  return TRUE;
}

gboolean
pw__computes_in (const PwBackend *backend, PwPrecision precision) {
  static const PwArithmetic arithmetic[] = { [PW_PRECISION_FP32] = PW_ARITHMETIC_FP32,
                                             [PW_PRECISION_BF16] = PW_ARITHMETIC_BF16,
                                             [PW_PRECISION_FP16] = PW_ARITHMETIC_FP16,
                                             [PW_PRECISION_TF32] = PW_ARITHMETIC_TF32 };
  if (pw__is_host_memory (backend))
    return precision == PW_PRECISION_FP32;
  const PwBackendRun run
      = { .ranks = 1, .share_devices = TRUE, .arithmetic = arithmetic[precision] };
  return !backend->check || backend->check (&run, NULL);
}
