/* A machine's rates on the CPU: tables in order that a plan can be estimated with. */
#include <glib/gstdio.h>

#include "exec/profile.h"

static void
check_rates (const PwRates *rates) {
  g_assert_cmpint (rates->n, >, 0);
  for (int i = 0; i < rates->n; i++) {
    g_assert_cmpfloat (rates->rows[i].rate, >, 0);
    g_assert_true (i == 0 || rates->rows[i].size > rates->rows[i - 1].size);
  }
}

static void
check_equal (const PwRates *a, const PwRates *b) {
  g_assert_cmpint (a->n, ==, b->n);
  for (int i = 0; i < a->n; i++)
    g_assert_true (a->rows[i].size == b->rows[i].size && a->rows[i].rate == b->rows[i].rate);
}

static PwHardware *
read_back (const PwHardware *hardware) {
  g_autofree char *folder = g_dir_make_tmp ("pw-machine-XXXXXX", NULL);
  g_autofree char *path = g_build_filename (folder, "machine.json", NULL);
  g_autoptr (GError) error = NULL;
  g_assert_true (pw_hardware_save (hardware, path, &error));
  json_t *name = json_string (path);
  PwHardware *back = pw_hardware_read ((PwJsonPlace){ NULL, "" }, name, &error);
  g_assert_no_error (error);
  json_decref (name);
  g_assert_cmpint (g_unlink (path) + g_rmdir (folder), ==, 0);
  return back;
}

static void
test_cpu (void) {
  for (int ranks = 1; ranks <= 2; ranks++) {
    PwMachineOptions options = { .ranks = ranks, .seconds = 0.1 };
    g_autoptr (GError) error = NULL;
    g_autoptr (PwHardware) hardware = pw_profile_machine (&options, &error);
    g_assert_no_error (error);
    check_rates (&hardware->rates[PW_PRECISION_FP32]);
    check_rates (&hardware->memory_rates);
    check_rates (&hardware->copies[PW_COPY_ON_DEVICE]);
    g_assert_cmpint (hardware->rates[PW_PRECISION_BF16].n, ==, 0);
    g_assert_cmpint (hardware->rates[PW_PRECISION_TF32].n, ==, 0);
    g_assert_cmpint (hardware->copies[PW_COPY_TO_HOST].n, ==, 0);
    g_assert_true ((hardware->messages.one_way.n > 0) == (ranks > 1));
    g_assert_true ((hardware->link.latency_s > 0) == (ranks > 1));
    g_autoptr (PwHardware) back = read_back (hardware);
    g_assert_true (back->flops == hardware->flops && back->flops_half == hardware->flops_half);
    check_equal (&back->rates[PW_PRECISION_FP32], &hardware->rates[PW_PRECISION_FP32]);
    check_equal (&back->memory_rates, &hardware->memory_rates);
    check_equal (&back->messages.both_ways, &hardware->messages.both_ways);
    check_equal (&back->copies[PW_COPY_ON_DEVICE], &hardware->copies[PW_COPY_ON_DEVICE]);
  }
}

static void
note_progress (double fraction, gpointer data) {
  double *last = data;
  g_assert_cmpfloat (fraction, >=, *last);
  g_assert_cmpfloat (fraction, <=, 1);
  *last = fraction;
}

static void
test_progress (void) {
  double last = 0;
  PwMachineOptions options
      = { .ranks = 1, .seconds = 0.05, .progress = note_progress, .progress_data = &last };
  g_autoptr (GError) error = NULL;
  g_autoptr (PwHardware) hardware = pw_profile_machine (&options, &error);
  g_assert_no_error (error);
  g_assert_cmpfloat (last, >, 0);
}

int
main (int argc, char **argv) {
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/exec/profile-machine/is-read-back-to-the-bit", test_cpu);
  g_test_add_func ("/exec/profile-machine/says-how-far-it-is", test_progress);
  return g_test_run ();
}
