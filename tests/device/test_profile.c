/* Profiles of a device: of a model's layers in each precision, and of the machine itself. */
#include <string.h>

#include "exec/profile.h"
#include "kernels/kernels.h"
#include "tests/device/fake/fake.h"
#include "tests/exec/exec_case.h"

#include <cuda_runtime_api.h>

extern const PwBackend pw_backend_cuda;
extern const PwTransport pw_transport_nccl;

static void
check_nothing_is_left (void) {
  g_assert_cmpint (pw_fake_live_allocations () + pw_fake_live_streams () + pw_fake_live_events (),
                   ==, 0);
}

/* What is not a number would be refused by the costs. */
static void
layers (void) {
  static const PwPrecision precisions[]
      = { PW_PRECISION_FP32, PW_PRECISION_TF32, PW_PRECISION_BF16 };
  pw_fake_set_devices (2);
  for (gsize i = 0; i < G_N_ELEMENTS (precisions); i++) {
    g_autofree char *members = g_strdup_printf (
        "'model': {'name': 'mlp', 'input': 5, 'width': 8, 'depth': 3, 'output': 3}, 'ranks': 2, "
        "'precision': '%s', 'batch': 4, 'data': 'random'",
        pw_precision_names[precisions[i]]);
    g_autoptr (ExecCase) c = exec_case_new (members, NULL);
    g_autoptr (GError) error = NULL;
    static const int64_t samples[] = { 2 };
    PwProfileOptions options = { .backend = &pw_backend_cuda,
                                 .ranks = 1 + (precisions[i] == PW_PRECISION_FP32),
                                 .samples = samples,
                                 .n_samples = 1,
                                 .precision = precisions[i],
                                 .seconds = 0.02 };
    g_autoptr (PwLayerCosts) costs = pw_profile_run (c->resolved->graph, &options, &error);
    g_assert_no_error (error);
    g_assert_cmpint (costs->precision, ==, precisions[i]);
    const PwLayerCostTable *table = &costs->tables[0];
    for (int l = 0; l < c->resolved->graph->n_layers; l++)
      g_assert_cmpfloat (table->layers[l].forward_s, >, 0);
    g_assert_true ((costs->link.latency_s > 0) == (options.ranks > 1));
  }
  check_nothing_is_left ();
}

static PwHardware *
measure (const PwTransport *transport, GError **error) {
  PwMachineOptions options
      = { .backend = &pw_backend_cuda, .transport = transport, .ranks = 2, .seconds = 0.05 };
  return pw_profile_machine (&options, error);
}

/* Between two ranks of one device by copies, between two devices by NCCL. */
static void
machines (void) {
  const PwTransport *transports[] = { &pw_transport_threads, &pw_transport_nccl };
  for (int i = 0; i < 2; i++) {
    pw_fake_set_devices (1 + i);
    g_autoptr (GError) error = NULL;
    g_autoptr (PwHardware) hardware = measure (transports[i], &error);
    g_assert_no_error (error);
    for (int p = 0; p < PW_PRECISION_N; p++)
      g_assert_cmpint (hardware->rates[p].n, >, 0);
    for (int k = 0; k < PW_COPY_N; k++)
      g_assert_cmpint (hardware->copies[k].n, >, 0);
    g_assert_cmpint (hardware->memory_rates.n, >, 0);
    g_assert_cmpint (hardware->messages.one_way.n, >, 1);
    g_assert_cmpint (hardware->messages.both_ways.n, ==, hardware->messages.one_way.n);
    g_assert_cmpfloat (hardware->link.latency_s, >, 0);
    check_nothing_is_left ();
  }
}

/* What a device has no memory for is left out of the tables. */
static void
little_memory (void) {
  pw_fake_set_devices (2);
  pw_fake_set_memory ((gsize)8 << 20);
  PwMachineOptions options = { .backend = &pw_backend_cuda, .ranks = 1, .seconds = 0.5 };
  g_autoptr (GError) error = NULL;
  g_autoptr (PwHardware) hardware = pw_profile_machine (&options, &error);
  g_assert_no_error (error);
  const PwRates *rates = &hardware->memory_rates;
  g_assert_cmpint (rates->n, >, 0);
  g_assert_cmpfloat (rates->rows[rates->n - 1].size, <=, 8 << 20);
  pw_fake_set_memory ((gsize)1 << 34);
  check_nothing_is_left ();
}

static void
broken_devices (void) {
  static const long operations[] = { 1, 20, 300 };
  pw_fake_set_devices (2);
  for (gsize i = 0; i < G_N_ELEMENTS (operations); i++) {
    pw_fake_break_operation (operations[i], cudaErrorIllegalAddress);
    g_autoptr (GError) error = NULL;
    g_autoptr (PwHardware) hardware = measure (&pw_transport_threads, &error);
    pw_fake_repair ();
    g_assert_null (hardware);
    g_assert_nonnull (error);
    g_test_message ("%s", error->message);
  }
}

int
main (int argc, char **argv) {
  g_test_init (&argc, &argv, NULL);
  /* GLib makes a lock at the first error, in a way that ThreadSanitizer cannot see. */
  g_error_free (g_error_new (PW_KERNEL_ERROR, PW_KERNEL_ERROR_LIBRARY, "none"));
  g_test_add_func ("/device/profile/layers-are-measured-in-their-precision", layers);
  g_test_add_func ("/device/profile/machines-have-rates-copies-and-a-link", machines);
  g_test_add_func ("/device/profile/what-has-no-memory-is-left-out", little_memory);
  g_test_add_func ("/device/profile/broken-devices-end-it", broken_devices);
  return g_test_run ();
}
