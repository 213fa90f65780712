/* Machines: the catalogue's list, and what one reaches at a size. */
#include "plans/hardware.h"

#include <string.h>

#include "plans/plan_private.h"

const char *const pw_copy_names[] = { "to_device", "to_host", "on_device", NULL };

const PwHardware *const *
pw_hardware_list (void) {
  static const PwHardware **list;
  static gsize ready;
  if (g_once_init_enter (&ready)) {
    list = g_new0 (const PwHardware *, pw__hardware_catalogue_n + 1);
    for (gsize i = 0; i < pw__hardware_catalogue_n; i++)
      list[i] = &pw__hardware_catalogue[i];
    g_once_init_leave (&ready, 1);
  }
  return list;
}

const PwHardware *
pw_hardware_get (const char *name) {
  for (gsize i = 0; i < pw__hardware_catalogue_n; i++)
    if (strcmp (pw__hardware_catalogue[i].name, name) == 0)
      return &pw__hardware_catalogue[i];
  return NULL;
}

PwHardware *
pw_hardware_copy (const PwHardware *hardware) {
  PwHardware *copy = g_memdup2 (hardware, sizeof *hardware);
  copy->name = g_strdup (hardware->name);
  copy->source = g_strdup (hardware->source);
  for (int i = 0; i < PW_PRECISION_N; i++)
    copy->rates[i] = pw_rates_copy (&hardware->rates[i]);
  copy->memory_rates = pw_rates_copy (&hardware->memory_rates);
  copy->messages = pw_message_rates_copy (&hardware->messages);
  for (int i = 0; i < PW_COPY_N; i++)
    copy->copies[i] = pw_rates_copy (&hardware->copies[i]);
  return copy;
}

void
pw_hardware_free (PwHardware *hardware) {
  if (hardware == NULL)
    return;
  g_free (hardware->name);
  g_free (hardware->source);
  for (int i = 0; i < PW_PRECISION_N; i++)
    pw_rates_clear (&hardware->rates[i]);
  pw_rates_clear (&hardware->memory_rates);
  pw_message_rates_clear (&hardware->messages);
  for (int i = 0; i < PW_COPY_N; i++)
    pw_rates_clear (&hardware->copies[i]);
  g_free (hardware);
}

PwLink
pw_link_at (const PwLink *link, const PwMessageRates *messages, int64_t bytes) {
  PwLink at = *link;
  if (messages->one_way.n == 0 || bytes <= 0)
    return at;
  double seconds = (double)bytes / pw_rates_at (&messages->one_way, (double)bytes);
  at.bandwidth = seconds > link->latency_s ? (double)bytes / (seconds - link->latency_s) : 0;
  return at;
}

double
pw_hardware_product_rate (const PwHardware *hardware, PwPrecision precision, double flops) {
  const double peaks[PW_PRECISION_N] = { [PW_PRECISION_FP32] = hardware->flops,
                                         [PW_PRECISION_BF16] = hardware->flops_half,
                                         [PW_PRECISION_FP16] = hardware->flops_half,
                                         [PW_PRECISION_TF32] = hardware->flops_tf32 };
  const PwRates *rates = &hardware->rates[precision];
  return rates->n > 0 ? pw_rates_at (rates, flops) : hardware->efficiency * peaks[precision];
}

double
pw_hardware_memory_rate (const PwHardware *hardware, double bytes) {
  const PwRates *rates = &hardware->memory_rates;
  return rates->n > 0 ? pw_rates_at (rates, bytes) : hardware->memory_bandwidth;
}
