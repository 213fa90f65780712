/* `sweep`: its rows are what `simulate` says, however the grid is cut and joined. */
#include "program.h"
#include <string.h>

#define GRID                                                                                       \
  "sweep examples/gpt-small.json --vary microbatches=2,4,8 --vary schedule=gpipe,1f1b,hanayo "     \
  "--vary p2p-policy=per-edge,shared-stream"

/* A varied value, text or number, as an option takes it. */
static char *
value_at (json_t *vary, const char *key) {
  json_t *value = json_object_get (vary, key);
  g_assert_nonnull (value);
  return json_is_string (value) ? g_strdup (json_string_value (value))
                                : g_strdup_printf ("%g", json_number_value (value));
}

/* Key by key, to the last bit. */
static void
assert_same_figures (json_t *row, json_t *simulated) {
  static const char *const keys[]
      = { "ranks",        "stages",          "microbatches",      "iteration_time",  "ideal_time",
          "bubble_ratio", "bubble_fraction", "longest_rank_span", "peak_activations" };
  for (gsize i = 0; i < G_N_ELEMENTS (keys); i++)
    g_assert_cmpfloat (json_number_at (row, keys[i]), ==, json_number_at (simulated, keys[i]));
}

static void
test_rows (void) {
  g_autoptr (json_t) sweep = program_json (GRID " --no-timing");
  json_t *rows = json_object_get (sweep, "rows"), *row;
  g_assert_cmpfloat (json_number_at (sweep, "points"), ==, 18);
  g_assert_cmpuint (json_array_size (rows), ==, 18);
  size_t i;
  json_array_foreach (rows, i, row) {
    json_t *vary = json_object_get (row, "vary");
    g_assert_cmpfloat (json_number_at (row, "point"), ==, (double)i);
    if (json_object_get (row, "error"))
      continue;
    g_autofree char *microbatches = value_at (vary, "microbatches");
    g_autofree char *schedule = value_at (vary, "schedule");
    g_autofree char *policy = value_at (vary, "p2p-policy");
    g_autoptr (json_t) simulated = program_json (
        "simulate examples/gpt-small.json --microbatches %s --schedule %s --p2p-policy %s",
        microbatches, schedule, policy);
    assert_same_figures (row, simulated);
  }
}

static void
test_synthetic (void) {
  g_autoptr (json_t) sweep = program_json (
      "sweep --schedule 1f1b --ranks 4 --vary microbatches=4:16:x2 --vary 'forward=1;1,2,1,2'");
  json_t *row = json_array_get (json_object_get (sweep, "rows"), 5);
  g_autoptr (json_t) simulated
      = program_json ("simulate --schedule 1f1b --ranks 4 --microbatches 16 --forward 1,2,1,2");
  assert_same_figures (row, simulated);
  g_autoptr (json_t) shared
      = program_json ("sweep --ranks 4 --microbatches 8 --vary schedule=1f1b,zb-v --backward 2");
  g_autoptr (json_t) share = program_json (
      "simulate --schedule zb-v --ranks 4 --microbatches 8 --backward 2 --cost-per rank");
  assert_same_figures (json_array_get (json_object_get (shared, "rows"), 1), share);
}

/* Each value of a flag is what the call with it, or without it, says. */
static void
test_flags (void) {
#define BATCHED                                                                                    \
  "--schedule interleaved-1f1b --chunks 2 --ranks 4 --microbatches 8 --p2p-latency 0.3 "           \
  "--p2p-policy rendezvous --cost-per stage"
  g_autoptr (json_t) sweep = program_json ("sweep " BATCHED " --vary p2p-batched=true,false,maybe");
  g_autoptr (json_t) with = program_json ("simulate " BATCHED " --p2p-batched");
  g_autoptr (json_t) without = program_json ("simulate " BATCHED);
  json_t *rows = json_object_get (sweep, "rows");
  assert_same_figures (json_array_get (rows, 0), with);
  assert_same_figures (json_array_get (rows, 1), without);
  g_assert_cmpfloat (json_number_at (with, "iteration_time"), !=,
                     json_number_at (without, "iteration_time"));
  g_assert_cmpstr (json_string_value (json_object_get (json_array_get (rows, 2), "error")), ==,
                   "--p2p-batched: expected true or false, not \"maybe\"");
}

/* A key of the plan's file, two levels down. */
static void
test_keys (void) {
  g_autoptr (json_t) sweep
      = program_json ("sweep examples/gpt-24x1024.json --vary hardware.link.bandwidth=1e8,1e11");
  json_t *rows = json_object_get (sweep, "rows");
  g_assert_cmpfloat (json_number_at (json_array_get (rows, 0), "iteration_time"), >,
                     json_number_at (json_array_get (rows, 1), "iteration_time"));
}

static char *
scratch_read (const char *name) {
  g_autofree char *path = g_build_filename (scratch_folder (), name, NULL);
  char *text;
  g_assert_true (g_file_get_contents (path, &text, NULL, NULL));
  return text;
}

static void
test_same_bytes (void) {
  g_autofree char *one = program_output (GRID " --threads 1 --csv one.csv");
  g_autofree char *many = program_output (GRID " --threads 7 --csv many.csv");
  g_assert_cmpstr (one, ==, many);
  g_autofree char *whole = scratch_read ("one.csv"), *threaded = scratch_read ("many.csv");
  g_assert_cmpstr (whole, ==, threaded);
  g_autoptr (GString) parts = g_string_new (NULL);
  for (int shard = 4; shard >= 1; shard--) {
    g_autofree char *text = program_output (GRID " --shard %d/4 --csv part%d.csv", shard, shard);
    g_string_append_printf (parts, " part%d.csv", shard);
  }
  g_autofree char *merged = program_output ("sweep merge%s", parts->str);
  g_assert_cmpstr (merged, ==, whole);
}

/* What is merged is drawn as the whole sweep was, of plans and of synthetic costs. */
static void
test_same_pictures (void) {
  static const char *const sweeps[]
      = { GRID, "sweep --schedule 1f1b --ranks 4 --vary microbatches=4:16 --vary p2p-latency=0,0.5",
          "sweep --ranks 4 --microbatches 8 --vary schedule=1f1b,zb-h1 --vary "
          "forward=1,2 --vary backward=2,3" };
  static const char *const ways[] = { "", "--pareto", "--y throughput" };
  for (gsize i = 0; i < G_N_ELEMENTS (sweeps); i++)
    for (gsize k = 0; k < G_N_ELEMENTS (ways); k++) {
      g_autofree char *whole = program_output ("%s %s --plot whole.svg", sweeps[i], ways[k]);
      for (int shard = 1; shard <= 3; shard++) {
        g_autofree char *text
            = program_output ("%s --shard %d/3 --csv drawn%d.csv", sweeps[i], shard, shard);
      }
      g_autofree char *merged = program_output (
          "sweep merge drawn2.csv drawn3.csv drawn1.csv %s --plot merged.svg", ways[k]);
      g_assert_cmpstr (merged, ==, "");
      g_autofree char *one = scratch_read ("whole.svg"), *other = scratch_read ("merged.svg");
      g_assert_cmpstr (one, ==, other);
    }
}

/* What cannot be merged, by the first words on standard error. */
static void
test_bad_merges (void) {
  g_autofree char *a = program_output (GRID " --shard 1/2 --csv a.csv");
  g_autofree char *b
      = program_output ("sweep --schedule 1f1b --ranks 2 --vary microbatches=2,4 --csv b.csv");
  scratch_write ("text.csv", "step,loss\n1,2\n");
  g_autofree char *good = scratch_read ("a.csv");
  g_autofree char *cut = g_strndup (good, strlen (good) - 5);
  scratch_write ("cut.csv", cut);
  static const struct {
    const char *files, *message;
  } cases[] = {
    { "a.csv", "9 of 18 points are missing, the first is 1" },
    { "a.csv a.csv", "point 0 stands in a.csv, too" },
    { "a.csv b.csv", "b.csv:2: of another sweep than a.csv" },
    { "text.csv", "text.csv:1: not the CSV of a sweep" },
    { "cut.csv", "cut.csv: cut off in its last line" },
    { "none.csv", "none.csv" },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_auto (Outcome) outcome = program_run ("sweep merge %s", cases[i].files);
    g_assert_cmpint (outcome.status, ==, 2);
    g_assert_cmpstr (outcome.out, ==, "");
    g_assert_nonnull (strstr (outcome.err, cases[i].message));
  }
}

/* Shards of one call, but a file that it names was changed between them. */
static void
test_changed_files (void) {
  const char *sweep = "sweep --schedule order.csv --vary forward=1,2";
  g_autofree char *order = program_output ("schedule export 1f1b --ranks 2 --microbatches 4");
  g_autofree char *other = program_output ("schedule export gpipe --ranks 2 --microbatches 4");
  scratch_write ("order.csv", order);
  g_autofree char *a = program_output ("%s --shard 1/2 --csv first.csv", sweep);
  g_autofree char *b = program_output ("%s --shard 2/2 --csv second.csv", sweep);
  g_autofree char *merged = program_output ("sweep merge first.csv second.csv");
  scratch_write ("order.csv", other);
  g_autofree char *c = program_output ("%s --shard 2/2 --csv second.csv", sweep);
  g_auto (Outcome) outcome = program_run ("sweep merge first.csv second.csv");
  g_assert_cmpint (outcome.status, ==, 2);
  g_assert_nonnull (strstr (outcome.err, "second.csv:2: of another sweep than first.csv"));
}

/* Nothing off the front is as good in both, and nothing on it is beaten. */
static void
test_front (void) {
  g_autoptr (json_t) sweep = program_json (GRID);
  json_t *rows = json_object_get (sweep, "rows"), *row, *other;
  size_t i, k;
  json_array_foreach (rows, i, row) {
    if (json_object_get (row, "error"))
      continue;
    gboolean is_beaten = FALSE;
    json_array_foreach (rows, k, other) {
      if (json_object_get (other, "error"))
        continue;
      double speed = json_number_at (other, "throughput") - json_number_at (row, "throughput");
      double memory
          = json_number_at (other, "peak_memory_bytes") - json_number_at (row, "peak_memory_bytes");
      is_beaten |= (speed >= 0 && memory < 0) || (speed > 0 && memory <= 0);
    }
    if (is_beaten)
      g_assert_false (json_is_true (json_object_get (row, "pareto")));
    if (json_is_true (json_object_get (row, "pareto")))
      g_assert_false (is_beaten);
  }
}

int
main (int argc, char **argv) {
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/cli/sweep/rows-are-what-simulate-says", test_rows);
  g_test_add_func ("/cli/sweep/synthetic-costs-can-be-varied", test_synthetic);
  g_test_add_func ("/cli/sweep/flags-can-be-varied", test_flags);
  g_test_add_func ("/cli/sweep/keys-of-the-plan-can-be-varied", test_keys);
  g_test_add_func ("/cli/sweep/threads-and-shards-change-no-byte", test_same_bytes);
  g_test_add_func ("/cli/sweep/shards-are-drawn-as-the-whole", test_same_pictures);
  g_test_add_func ("/cli/sweep/what-does-not-belong-together-is-not-merged", test_bad_merges);
  g_test_add_func ("/cli/sweep/files-that-were-changed-make-it-another-sweep", test_changed_files);
  g_test_add_func ("/cli/sweep/nothing-beats-the-front", test_front);
  int status = g_test_run ();
  scratch_remove ();
  return status;
}
