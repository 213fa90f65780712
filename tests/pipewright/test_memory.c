/* Memory of plans over every schedule, with recomputation and copies to the host. */
#include <string.h>

#include "pipewright/simulate.h"

#define PLAN                                                                                       \
  "{\"model\": {\"name\": \"gpt\", \"blocks\": 14, \"width\": 16, \"heads\": 2, \"tokens\": 16, "  \
  "\"vocabulary\": 32}, \"hardware\": {\"like\": \"h100-80g-sxm\", \"host_bandwidth\": 2e9, "      \
  "\"communication_bytes\": 4096}, \"ranks\": 4, \"schedule\": {\"name\": \"%s\", "                \
  "\"microbatches\": 8}, \"batch\": 16, \"recompute\": %s, \"offload\": \"%s\"}"

static const char *const recomputations[]
    = { "\"none\"", "{\"layers\": [\"*.gelu\", \"*.ln1\"]}", "\"except-last\"", "\"stage\"",
        "{\"layers\": [\"*\"]}" };

/* NULL: the model has too few layers for the stages, or nothing is left to be copied. */
static PwSimulation *
simulate (const char *schedule, const char *recompute, const char *offload, int iterations) {
  g_autoptr (GError) error = NULL;
  g_autofree char *text = g_strdup_printf (PLAN, schedule, recompute, offload);
  g_autoptr (PwPlan) plan = pw_plan_parse ("plan.json", text, &error);
  g_assert_no_error (error);
  PwSimulation *simulation = pw_simulate_plan (plan, iterations, &error);
  if (simulation == NULL && strstr (error->message, "leaves no stash") == NULL)
    g_error ("%s, %s, %s: %s", schedule, recompute, offload, error->message);
  return simulation;
}

static void
check_end (const PwSimulation *simulation) {
  const PwSimResult *result = simulation->result;
  const PwTraceMemory *sample = (const PwTraceMemory *)(gpointer)result->memory->data;
  int64_t first[PW_MEMORY_N] = { 0 }, peak = 0;
  for (guint i = 0; i < result->memory->len; i++) {
    int64_t total = 0;
    if (i == 0 || sample[i].rank != sample[i - 1].rank) {
      memcpy (first, sample[i].bytes, sizeof first);
      peak = 0;
    }
    for (int k = 0; k < PW_MEMORY_N; k++) {
      g_assert_cmpint (sample[i].bytes[k], >=, 0);
      total += sample[i].bytes[k];
    }
    peak = MAX (peak, total);
    if (i + 1 < result->memory->len && sample[i + 1].rank == sample[i].rank)
      continue;
    first[PW_MEMORY_STASH] = first[PW_MEMORY_BOUNDARY] = 0; /* the first action begins at once */
    for (int k = 0; k < PW_MEMORY_N; k++)
      g_assert_cmpint (first[k], ==, sample[i].bytes[k]);
    g_assert_cmpint (peak, <=, result->rank[sample[i].rank].peak_memory_bytes);
  }
}

static int64_t
count (const PwSimulation *simulation, PwActionKind kind) {
  int64_t n = 0;
  for (int r = 0; r < simulation->lowered->ranks; r++) {
    const PwProgram *program = &simulation->lowered->programs[r];
    for (int64_t i = 0; i < program->n_prologue; i++)
      n += program->actions[i].kind == kind;
  }
  return n;
}

static void
assert_same_memory (const PwSimResult *a, const PwSimResult *b) {
  g_assert_cmpuint (a->memory->len, ==, b->memory->len);
  for (guint i = 0; i < a->memory->len; i++) {
    const PwTraceMemory *x = &g_array_index (a->memory, PwTraceMemory, i);
    const PwTraceMemory *y = &g_array_index (b->memory, PwTraceMemory, i);
    g_assert_cmpint (x->rank, ==, y->rank);
    g_assert_cmpfloat (x->time, ==, y->time);
    g_assert_true (memcmp (x->bytes, y->bytes, sizeof x->bytes) == 0);
  }
}

static void
check (const PwSimulation *simulation) {
  g_autoptr (GError) error = NULL;
  check_end (simulation);
  g_assert_cmpint (count (simulation, PW_ACTION_OFFLOAD), ==, count (simulation, PW_ACTION_RELOAD));
  PwSimInput input = simulation->input;
  input.engine = PW_SIM_ENGINE_EVENTS;
  g_autoptr (PwSimResult) events = pw_sim_run (&input, &error);
  g_assert_no_error (error);
  const PwSimResult *result = simulation->result;
  g_assert_cmpfloat (events->iteration_time, ==, result->iteration_time);
  assert_same_memory (events, result);
}

/* Whatever the order, what is made again and what is copied away: in the end nothing is left over.
 */
static void
test_returns_to_its_start (void) {
  int copied = 0;
  for (const PwScheduleType *const *type = pw_schedule_list (); *type != NULL; type++) {
    g_autoptr (PwSimulation) plain = simulate ((*type)->name, "\"none\"", "none", 1);
    if (plain->compute->mode != PW_MODE_TRAINING)
      continue;
    for (gsize r = 0; r < G_N_ELEMENTS (recomputations); r++)
      for (int o = 0; o < 2; o++)
        for (int iterations = 1; iterations <= 2; iterations++) {
          const char *offload = o == 0 ? "none" : "stash";
          g_autoptr (PwSimulation) simulation
              = simulate ((*type)->name, recomputations[r], offload, iterations);
          if (simulation == NULL)
            continue;
          check (simulation);
          copied += count (simulation, PW_ACTION_RELOAD) > 0;
        }
  }
  g_assert_cmpint (copied, >, 20);
}

/* To the bit, in time and in memory. */
static void
test_stage_is_all_layers (void) {
  for (const PwScheduleType *const *type = pw_schedule_list (); *type != NULL; type++) {
    g_autoptr (PwSimulation) stage = simulate ((*type)->name, "\"stage\"", "none", 1);
    g_autoptr (PwSimulation) layers = simulate ((*type)->name, "{\"layers\": [\"*\"]}", "none", 1);
    const PwSimResult *a = stage->result, *b = layers->result;
    g_assert_cmpfloat (a->iteration_time, ==, b->iteration_time);
    assert_same_memory (a, b);
    for (int r = 0; r < a->ranks; r++)
      g_assert_cmpfloat (a->rank[r].recompute_time, ==, b->rank[r].recompute_time);
  }
}

/* R takes the forwards of the chosen layers and nothing else; more of them keep less. */
static void
test_more_layers_keep_less (void) {
  static const char *const chosen[] = { "[\"*.gelu\"]", "[\"*.gelu\", \"*.ln1\"]",
                                        "[\"*.gelu\", \"*.ln1\", \"*.attention\"]", "[\"*\"]" };
  g_autoptr (PwSimulation) plain = simulate ("gpipe", "\"none\"", "none", 1);
  int64_t bytes = plain->result->peak_memory_bytes;
  double time = 0;
  for (gsize i = 0; i < G_N_ELEMENTS (chosen); i++) {
    g_autofree char *recompute = g_strdup_printf ("{\"layers\": %s}", chosen[i]);
    g_autoptr (PwSimulation) simulation = simulate ("gpipe", recompute, "none", 1);
    const PwSimRank *rank = &simulation->result->rank[0];
    g_assert_cmpint (simulation->result->peak_memory_bytes, <, bytes);
    g_assert_cmpfloat (rank->recompute_time, >, time);
    g_assert_cmpfloat_with_epsilon (rank->busy_time,
                                    plain->result->rank[0].busy_time + rank->recompute_time, 1e-12);
    bytes = simulation->result->peak_memory_bytes;
    time = rank->recompute_time;
  }
}

int
main (int argc, char **argv) {
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/pipewright/memory/returns-to-its-start", test_returns_to_its_start);
  g_test_add_func ("/pipewright/memory/a-stage-is-all-its-layers", test_stage_is_all_layers);
  g_test_add_func ("/pipewright/memory/more-layers-made-again-keep-less",
                   test_more_layers_keep_less);
  return g_test_run ();
}
