/* Every command's happy path: a table for people, and JSON with the keys in their order. */
#include "program.h"
#include <string.h>

static const struct {
  const char *arguments;
  const char *contains; /* in the table */
  const char *keys;     /* of the JSON object, in order; NULL: the command has no --json */
} commands[] = {
  { "schedule list", "1f1b", "schedules" },
  { "schedule show 1f1b --ranks 2", "rank 0",
    "schedule,ranks,stages,microbatches,chunks,actions,bubble,bubble_time,measure,span_bubble,"
    "span_bubble_time,peak,paper,follows,differs,per_rank,timeline" },
  { "schedule check gpipe", "gpipe: valid", "valid,policies,accumulation,errors" },
  { "schedule check 1f1b --p2p-policy all", "rendezvous", "valid,policies,accumulation,errors" },
  { "schedule export 1f1b --ranks 2 --microbatches 2", "0F0,0F1,0B0,0B1\n", NULL },
  { "schedule export 1f1b --ranks 2 --microbatches 2 --lowered", "SEND_F", NULL },
  { "schedule import good.csv", "0F0,0B0\n",
    "ranks,stages,microbatches,chunks,lowered,mode,actions" },
  { "simulate --schedule 1f1b --ranks 4 --microbatches 8", "iteration time",
    "schedule,ranks,stages,microbatches,iteration_time,ideal_time,bubble_fraction,bubble_ratio,"
    "longest_rank_span,peak_activations,actions,events,wall_seconds,idle_by_cause,per_rank" },
  { "simulate examples/gpt-small.json --no-timing", "memory peak",
    "schedule,ranks,stages,microbatches,iteration_time,ideal_time,bubble_fraction,bubble_ratio,"
    "longest_rank_span,peak_activations,actions,events,idle_by_cause,per_rank" },
  { "simulate examples/gpt-small.json --links --critical-path --no-timing", "Critical path",
    "schedule,ranks,stages,microbatches,iteration_time,ideal_time,bubble_fraction,bubble_ratio,"
    "longest_rank_span,peak_activations,actions,events,idle_by_cause,per_rank,links,resources,"
    "critical_"
    "path" },
  { "simulate --schedule 1f1b --ranks 2 --microbatches 4 --jitter 5% --samples 50 --sensitivity "
    "--what-if 'link: 2x' --what-if 'rank 1: 2x' --slack slack.csv --no-timing",
    "p99",
    "schedule,ranks,stages,microbatches,iteration_time,ideal_time,bubble_fraction,bubble_ratio,"
    "longest_rank_span,peak_activations,actions,events,idle_by_cause,per_rank,what_if,sensitivity,"
    "jitter" },
  { "compare examples/gpt-small.json --schedules gpipe,1f1b", "best", "best,rows" },
  { "sweep --schedule 1f1b --ranks 2 --vary microbatches=2,4 --no-timing", "best",
    "points,done,best,rows" },
  { "plan --ranks 3 --microbatches 6 --memory-limit 2", "best built-in",
    "schedule,ranks,stages,microbatches,iteration_time,ideal_time,bubble_fraction,bubble_ratio,"
    "longest_rank_span,peak_activations,actions,events,wall_seconds,idle_by_cause,per_rank,"
    "objective,chunks,"
    "lower_bound,gap_to_lower_bound,is_optimal,method,builtin,tried,search_seconds" },
  { "plan examples/gpt-small.json --objective span --chunks 1 --no-timing", "memory peak",
    "schedule,ranks,stages,microbatches,iteration_time,ideal_time,bubble_fraction,bubble_ratio,"
    "longest_rank_span,peak_activations,actions,events,idle_by_cause,per_rank,objective,chunks,"
    "lower_bound,gap_to_lower_bound,is_optimal,method,builtin,tried" },
  { "model list", "gpt", "models,layers" },
  { "model show gpt", "block0", NULL },
  { "model show examples/mlp-tiny.json", "linear", NULL },
  { "model show examples/gpt3-175b-h100.json", "[2048, 12288] bf16", NULL },
  { "hardware list", "GB/s", "hardware" },
  { "hardware show h200", "link", NULL },
  { "trace info simulated.json", "iteration time",
    "source,schedule,model,policy,transport,backend,unitless,ranks,stages,microbatches,chunks,"
    "iterations,records,iteration_time,ideal_time,bubble_fraction,bubble_ratio,per_rank" },
  { "trace diff simulated.json simulated.json", "matched",
    "a_iteration_time,b_iteration_time,relative_error,a_bubble_fraction,b_bubble_fraction,actions,"
    "per_rank,worst" },
  { "plot simulated.json --term dumb", "rank 0", NULL },
};

static void
prepare (void) {
  scratch_write ("good.csv", "0F0,0B0\n1F0,1B0\n");
  g_autofree char *text = program_output (
      "simulate --schedule 1f1b --ranks 2 --microbatches 4 --trace simulated.json");
}

static void
test_tables (void) {
  for (gsize i = 0; i < G_N_ELEMENTS (commands); i++) {
    g_autofree char *text = program_output ("%s", commands[i].arguments);
    if (!strstr (text, commands[i].contains))
      g_error ("pipewright %s: no \"%s\" in\n%s", commands[i].arguments, commands[i].contains,
               text);
  }
}

static void
test_json (void) {
  for (gsize i = 0; i < G_N_ELEMENTS (commands); i++) {
    if (!commands[i].keys)
      continue;
    g_test_message ("%s", commands[i].arguments);
    g_autoptr (json_t) object = program_json ("%s", commands[i].arguments);
    g_autofree char *keys = json_keys (object);
    g_assert_cmpstr (keys, ==, commands[i].keys);
  }
}

static void
test_rank_keys (void) {
  g_autoptr (json_t) object = program_json ("simulate --schedule 1f1b --ranks 2 --microbatches 2");
  g_autofree char *keys = json_keys (json_array_get (json_object_get (object, "per_rank"), 0));
  g_assert_true (g_str_has_prefix (
      keys, "rank,busy_time,idle_time,warmup_idle,steady_idle,drain_idle,idle_by_cause,"
            "peak_activations,peak_memory_bytes,span"));
}

/* The peak of a rank is made of its categories, and is the most of what is written over time. */
static void
test_memory (void) {
  g_autoptr (json_t) object = program_json (
      "simulate examples/gpt-small.json --schedule gpipe --memory memory.csv --no-timing");
  json_t *ranks = json_object_get (object, "per_rank");
  g_autofree char *path = g_build_filename (scratch_folder (), "memory.csv", NULL);
  g_autofree char *csv = NULL;
  g_assert_true (g_file_get_contents (path, &csv, NULL, NULL));
  g_auto (GStrv) lines = g_strsplit (csv, "\n", -1);
  g_assert_cmpstr (lines[0], ==,
                   "rank,time,parameters,gradients,optimizer,versions,stash,boundary,"
                   "communication,workspace,total");
  for (gsize r = 0; r < json_array_size (ranks); r++) {
    json_t *rank = json_array_get (ranks, r), *value, *parts;
    const char *key;
    double sum = 0, largest = 0, at = -1;
    parts = json_object_get (rank, "peak_memory_by_category");
    json_object_foreach (parts, key, value) sum += json_number_value (value);
    for (int i = 1; lines[i] && *lines[i]; i++) {
      g_auto (GStrv) cells = g_strsplit (lines[i], ",", -1);
      double total = g_ascii_strtod (cells[10], NULL);
      if (g_ascii_strtoull (cells[0], NULL, 10) != r || total <= largest)
        continue;
      largest = total;
      at = g_ascii_strtod (cells[1], NULL);
    }
    g_assert_cmpfloat (sum, ==, json_number_at (rank, "peak_memory_bytes"));
    g_assert_cmpfloat (sum, ==, largest);
    g_assert_cmpfloat_with_epsilon (at, json_number_at (rank, "peak_memory_time"), 1e-9);
  }
}

static void
test_deterministic (void) {
  static const char *const lines[] = {
    "simulate examples/gpt-small.json --json --no-timing --critical-path --links",
    "compare examples/gpt-small.json --json --no-timing",
    "simulate --schedule 1f1b --ranks 4 --microbatches 8 --no-timing",
    "plan examples/gpt-small.json --json --no-timing",
    "plan --ranks 4 --microbatches 6 --memory-limit 3 --csv - --chunks 2",
    "schedule list --json",
    "schedule check 1f1b --p2p-policy all --json",
    "trace info simulated.json --json",
  };
  for (gsize i = 0; i < G_N_ELEMENTS (lines); i++) {
    g_autofree char *first = program_output ("%s", lines[i]);
    g_autofree char *second = program_output ("%s", lines[i]);
    g_assert_cmpstr (first, ==, second);
  }
}

static void
test_files (void) {
  static const struct {
    const char *arguments, *file;
  } writers[] = {
    { "schedule export gpipe -o out.csv", "out.csv" },
    { "schedule export gpipe -o out.json", "out.json" },
    { "schedule import good.csv -o out2.csv", "out2.csv" },
    { "plan --ranks 2 --microbatches 3 --csv out4.csv", "out4.csv" },
    { "simulate --schedule 1f1b --ranks 2 --microbatches 2 --trace out3.json", "out3.json" },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (writers); i++) {
    g_autofree char *text = program_output ("%s", writers[i].arguments);
    g_assert_true (scratch_has (writers[i].file));
  }
}

static void
test_pictures (void) {
  g_autofree char *gnuplot = g_find_program_in_path ("gnuplot");
  if (!gnuplot) {
    g_test_skip ("gnuplot is not installed");
    return;
  }
  g_autofree char *exported = program_output ("schedule export 1f1b -o a.svg");
  g_autofree char *simulated
      = program_output ("simulate examples/gpt-tiny.json --plot b.svg --trace gpt.json");
  g_autofree char *plotted = program_output ("plot gpt.json gpt.json --memory -o c.png");
  g_assert_true (scratch_has ("a.svg"));
  g_assert_true (scratch_has ("b.svg"));
  g_assert_true (scratch_has ("c.png"));
}

static void
test_round_trip (void) {
  g_autofree char *exported = program_output ("schedule export 1f1b --ranks 4 -o trip.csv");
  g_autofree char *again = program_output ("schedule import trip.csv");
  g_autofree char *direct = program_output ("schedule export 1f1b --ranks 4");
  g_assert_cmpstr (again, ==, direct);
}

static void
test_overrides (void) {
  g_autoptr (json_t) object = program_json (
      "simulate examples/gpt-small.json --schedule gpipe --microbatches 8 --ranks 4");
  g_assert_cmpstr (json_string_value (json_object_get (object, "schedule")), ==, "gpipe");
  g_assert_cmpfloat (json_number_at (object, "microbatches"), ==, 8);
  g_assert_cmpfloat (json_number_at (object, "ranks"), ==, 4);
}

static void
test_help (void) {
  g_autofree char *all = program_output ("--help");
  g_assert_nonnull (strstr (all, "Example"));
  g_auto (GStrv) lines = g_strsplit (strstr (all, "Commands:"), "\n", -1);
  int n = 0;
  for (int i = 1; lines[i] && lines[i][0]; i++) {
    g_autofree char *name = g_strstrip (g_strndup (lines[i] + 2, 17));
    if (g_str_has_prefix (name, "help"))
      continue;
    g_autofree char *help = program_output ("%s --help", name);
    g_autofree char *same = program_output ("help %s", name);
    g_assert_cmpstr (help, ==, same);
    g_assert_nonnull (strstr (help, "Example:\n  pipewright "));
    g_assert_true (g_utf8_validate (help, -1, NULL));
    g_auto (GStrv) rows = g_strsplit (help, "\n", -1);
    for (int k = 0; rows[k]; k++)
      g_assert_cmpuint (strlen (rows[k]), <=, 100);
    n++;
  }
  g_assert_cmpint (n, >=, 17);
}

static void
test_group_help (void) {
  g_autofree char *help = program_output ("schedule --help");
  g_assert_nonnull (strstr (help, "schedule export"));
  g_assert_null (strstr (help, "simulate "));
}

static void
test_version (void) {
  g_autofree char *version = program_output ("--version");
  g_assert_true (
      g_regex_match_simple ("\\Apipewright [0-9]+\\.[0-9]+\\.[0-9]+\n\\z", version, 0, 0));
}

int
main (int argc, char **argv) {
  g_test_init (&argc, &argv, NULL);
  prepare ();
  g_test_add_func ("/cli/commands/print-tables", test_tables);
  g_test_add_func ("/cli/commands/print-one-json-object-with-keys-in-order", test_json);
  g_test_add_func ("/cli/commands/peaks-are-made-of-categories-over-time", test_memory);
  g_test_add_func ("/cli/commands/ranks-have-the-keys-of-the-definitions", test_rank_keys);
  g_test_add_func ("/cli/commands/equal-inputs-give-equal-bytes", test_deterministic);
  g_test_add_func ("/cli/commands/write-files", test_files);
  g_test_add_func ("/cli/commands/draw-pictures", test_pictures);
  g_test_add_func ("/cli/commands/an-exported-schedule-is-imported-unchanged", test_round_trip);
  g_test_add_func ("/cli/commands/options-override-the-plan", test_overrides);
  g_test_add_func ("/cli/commands/every-help-has-an-example-and-fits-100-columns", test_help);
  g_test_add_func ("/cli/commands/a-group-helps-with-its-own", test_group_help);
  g_test_add_func ("/cli/commands/version-is-one-line", test_version);
  int status = g_test_run ();
  scratch_remove ();
  return status;
}
