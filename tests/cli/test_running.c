/* The commands that really run something. */
#include "program.h"
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

static void
test_run_json (void) {
  g_autoptr (json_t) object
      = program_json ("run examples/mlp-tiny.json --steps 3 --trace run.json --log run.csv");
  g_autofree char *keys = json_keys (object);
  g_assert_true (g_str_has_prefix (
      keys, "losses,iteration_time,tokens_or_samples_per_second,parameters_sha256,per_rank"));
  g_assert_cmpuint (json_array_size (json_object_get (object, "losses")), ==, 3);
  json_t *rank = json_array_get (json_object_get (object, "per_rank"), 0);
  g_autofree char *rank_keys = json_keys (rank);
  g_assert_true (g_str_has_prefix (rank_keys, "rank,busy_time,peak_memory_bytes"));
  g_autoptr (json_t) info = program_json ("trace info run.json");
  g_assert_cmpstr (json_string_value (json_object_get (info, "source")), ==, "measured");
  g_assert_true (scratch_has ("run.csv"));
}

static void
test_run_text (void) {
  g_autofree char *text = program_output ("run examples/mlp-tiny.json --steps 40");
  g_assert_nonnull (strstr (text, "step      1 "));
  g_assert_nonnull (strstr (text, "step     40 "));
  g_assert_nonnull (strstr (text, "parameters sha256"));
}

static char *
parameters (const char *options) {
  g_autoptr (json_t) object = program_json ("run examples/mlp-tiny.json --steps 3 %s", options);
  return g_strdup (json_string_value (json_object_get (object, "parameters_sha256")));
}

static void
test_same_parameters (void) {
  g_autofree char *first = parameters ("--schedule gpipe");
  static const char *const others[]
      = { "--schedule 1f1b", "--schedule naive",  "--schedule 1f1b --ranks 1",
          "--no-pinning",    "--recompute stage", "--p2p-policy shared-stream" };
  for (gsize i = 0; i < G_N_ELEMENTS (others); i++) {
    g_test_message ("%s", others[i]);
    g_autofree char *other = parameters (others[i]);
    g_assert_cmpstr (other, ==, first);
  }
  g_autofree char *seeded = parameters ("--seed 5");
  g_assert_cmpstr (seeded, !=, first);
}

static void
test_profile (void) {
  g_autofree char *text
      = program_output ("profile examples/mlp-tiny.json -o costs.json --seconds 0.05 --sizes 4,16");
  g_assert_nonnull (strstr (text, "micro-batch of 16 samples"));
  g_autofree char *used = program_output ("simulate examples/mlp-tiny.json --costs costs.json");
  g_assert_nonnull (strstr (used, "iteration time"));
}

static void
test_profile_machine (void) {
  g_autofree char *text = program_output ("profile --hardware-out machine.json --seconds 0.1");
  g_autofree char *shown = program_output ("hardware show machine.json");
  g_assert_cmpstr (text, ==, shown);
  g_assert_nonnull (strstr (shown, "products, FLOP/s"));
  g_autofree char *used
      = program_output ("simulate examples/mlp-tiny.json --hardware machine.json");
  g_assert_nonnull (strstr (used, "iteration time"));
  g_autoptr (json_t) object = program_json ("profile examples/mlp-tiny.json --seconds 0.05 "
                                            "--hardware-out machine.json");
  g_autofree char *keys = json_keys (object);
  g_assert_cmpstr (keys, ==,
                   "model,machine,precision,sizes,latency_s,bandwidth,action_overhead_s,hardware");
}

static void
test_validate (void) {
  g_autoptr (json_t) object = program_json (
      "validate examples/mlp-tiny.json --steps 3 --seconds 0.05 --trace-dir traces");
  g_autofree char *keys = json_keys (object);
  g_assert_true (g_str_has_prefix (keys, "schedule,predicted_iteration_time,"
                                         "measured_iteration_time,relative_error,per_rank,"
                                         "actions"));
  json_t *actions = json_object_get (object, "actions");
  g_assert_cmpfloat (json_number_at (actions, "median_start_error"), <=,
                     json_number_at (actions, "p95_start_error"));
  g_assert_true (scratch_has ("traces/gpipe-simulated.json"));
  g_assert_true (scratch_has ("traces/gpipe-measured.json"));
}

static void
test_validate_missed (void) {
  g_auto (Outcome) outcome
      = program_run ("validate examples/mlp-tiny.json --steps 2 --seconds 0.05 --tolerance 0 "
                     "--schedules gpipe,1f1b --json");
  g_assert_cmpint (outcome.status, ==, 1);
  g_autoptr (json_t) object = json_loads (outcome.out, 0, NULL);
  g_assert_cmpuint (json_array_size (json_object_get (object, "rows")), ==, 2);
}

/* Runs without end until its first step is printed, then gets SIGINT. */
static void
test_interrupt (void) {
  char *argv[] = { (char *)PW_PROGRAM,
                   (char *)"run",
                   (char *)"examples/gpt-tiny.json",
                   (char *)"--steps",
                   (char *)"1000000",
                   (char *)"--trace",
                   (char *)"stop.json",
                   NULL };
  GPid child;
  int out;
  g_autoptr (GError) error = NULL;
  g_spawn_async_with_pipes (scratch_folder (), argv, NULL, G_SPAWN_DO_NOT_REAP_CHILD, NULL, NULL,
                            &child, NULL, &out, NULL, &error);
  g_assert_no_error (error);
  FILE *lines = fdopen (out, "r");
  char line[200];
  gboolean stepped = FALSE;
  while (!stepped && fgets (line, sizeof line, lines))
    stepped = g_str_has_prefix (line, "step ");
  g_assert_true (stepped);
  g_assert_cmpint (kill (child, SIGINT), ==, 0);
  while (fgets (line, sizeof line, lines))
    ;
  fclose (lines);
  int status;
  g_assert_cmpint (waitpid (child, &status, 0), ==, child);
  g_assert_true (WIFEXITED (status));
  g_assert_cmpint (WEXITSTATUS (status), ==, 130);
  g_autoptr (json_t) info = program_json ("trace info stop.json");
  g_assert_cmpfloat (json_number_at (info, "records"), >, 0);
}

int
main (int argc, char **argv) {
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/cli/running/run-prints-json", test_run_json);
  g_test_add_func ("/cli/running/run-prints-first-and-last-step", test_run_text);
  g_test_add_func ("/cli/running/schedules-and-ranks-leave-equal-parameters", test_same_parameters);
  g_test_add_func ("/cli/running/a-profile-is-what-simulate-takes", test_profile);
  g_test_add_func ("/cli/running/a-measured-machine-is-what-simulate-takes", test_profile_machine);
  g_test_add_func ("/cli/running/validate-compares-and-keeps-traces", test_validate);
  g_test_add_func ("/cli/running/a-missed-tolerance-is-status-1", test_validate_missed);
  g_test_add_func ("/cli/running/ctrl-c-ends-with-130-and-a-readable-trace", test_interrupt);
  int status = g_test_run ();
  scratch_remove ();
  return status;
}
