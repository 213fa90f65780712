/* The language of changes, what they do to costs, and sensitivities. */
#include "cases.h"
#include "sim/what_if.h"

#include <string.h>

static const struct {
  const char *text;
  PwWhatIfChange change;
} good[] = {
  { "link:2x", { PW_WHAT_IF_LINK, -1, -1, FALSE, 2 } },
  { "links : 0.5x", { PW_WHAT_IF_LINK, -1, -1, FALSE, 0.5 } },
  { " link 2-3: 1e1x ", { PW_WHAT_IF_LINK, 2, 3, FALSE, 10 } },
  { "latency: =10us", { PW_WHAT_IF_LATENCY, -1, -1, TRUE, 10 * 1e-6 } },
  { "latency 0-1: = 0.25", { PW_WHAT_IF_LATENCY, 0, 1, TRUE, 0.25 } },
  { "bandwidth: =25GB/s", { PW_WHAT_IF_BANDWIDTH, -1, -1, TRUE, 25e9 } },
  { "bandwidth: =1.5GiB", { PW_WHAT_IF_BANDWIDTH, -1, -1, TRUE, 1.5 * 1073741824 } },
  { "bandwidth: =100", { PW_WHAT_IF_BANDWIDTH, -1, -1, TRUE, 100 } },
  { "rank 3: 1.2x", { PW_WHAT_IF_RANK, 3, -1, FALSE, 1.2 } },
  { "ranks: 2x", { PW_WHAT_IF_RANK, -1, -1, FALSE, 2 } },
  { "reduce: 2x", { PW_WHAT_IF_REDUCE, -1, -1, FALSE, 2 } },
  { "reduce 3: 2x", { PW_WHAT_IF_REDUCE, 3, -1, FALSE, 2 } },
  { "stage 0: -1 layer", { PW_WHAT_IF_LAYERS, 0, -1, FALSE, -1 } },
  { "stage 12: +3 layers", { PW_WHAT_IF_LAYERS, 12, -1, FALSE, 3 } },
  { "microbatches: =16", { PW_WHAT_IF_MICROBATCHES, -1, -1, TRUE, 16 } },
  { "microbatches: 2x", { PW_WHAT_IF_MICROBATCHES, -1, -1, FALSE, 2 } },
};

static void
test_good_texts (void) {
  for (gsize i = 0; i < G_N_ELEMENTS (good); i++) {
    g_autoptr (GError) error = NULL;
    g_autoptr (GArray) changes = pw_what_if_parse (good[i].text, &error);
    g_assert_no_error (error);
    g_assert_cmpint (changes->len, ==, 1);
    const PwWhatIfChange *read = &g_array_index (changes, PwWhatIfChange, 0);
    g_assert_cmpint (read->kind, ==, good[i].change.kind);
    g_assert_cmpint (read->from, ==, good[i].change.from);
    g_assert_cmpint (read->to, ==, good[i].change.to);
    g_assert_cmpint (read->is_absolute, ==, good[i].change.is_absolute);
    g_assert_cmpfloat (read->value, ==, good[i].change.value);
  }
  g_autoptr (GArray) several = pw_what_if_parse ("link: 2x, rank 1: 3x,stage 0: 2x", NULL);
  g_assert_cmpint (several->len, ==, 3);
}

static const char *const bad[][2] = {
  { "", "character 1: \"\" is none of link, latency" },
  { "rnk 3: 2x", "character 1: \"rnk\" is none of link, latency, bandwidth, rank, stage, reduce, "
                 "microbatches, did you mean \"rank\"?" },
  { "link: 2x, stge 1: 2x", "character 11: \"stge\"" },
  { "link 2: 2x", "character 7: expected \"-\" and the link's other rank" },
  { "link 2-: 2x", "character 8: expected a whole number" },
  { "link 2x", "character 7: expected \"-\"" },
  { "rank 3 1.2x", "character 8: expected \":\"" },
  { "rank 3:", "character 8: expected a number above 0" },
  { "rank 3: 0x", "character 9: expected a number above 0" },
  { "rank 3: 1.2.3x", "character 9: expected a number above 0" },
  { "rank 3: 1.2", "character 12: expected \"x\"" },
  { "rank 3: 1.2y", "character 12: expected \"x\"" },
  { "rank 3: nanx", "character 9: expected a number above 0" },
  { "rank 3: =2", "character 9: a rank has no value of its own" },
  { "rank 3: -1 layer", "character 9: only a stage has layers" },
  { "stage: -1 layer", "character 8: only a stage has layers" },
  { "stage 0: -1 lair", "character 13: expected \"layer\"" },
  { "stage 0: -x layer", "character 11: expected a whole number" },
  { "latency: =5ks", "character 12: \"ks\" is none of s, ms, us, ns" },
  { "bandwidth: =5XB/s", "character 14: \"XB\" is no unit of bytes" },
  { "microbatches 3: 2x", "character 14: microbatches have no number" },
  { "microbatches: =0", "no micro-batch is left" },
  { "rank 99999999999: 2x", "character 6: expected a whole number" },
  { "link: 2x;", "character 9: expected \",\" or the end" },
  { "link: 2x,", "character 10: \"\" is none of" },
};

static void
test_bad_texts (void) {
  for (gsize i = 0; i < G_N_ELEMENTS (bad); i++) {
    g_autoptr (GError) error = NULL;
    g_assert_null (pw_what_if_parse (bad[i][0], &error));
    g_assert_error (error, PW_WHAT_IF_ERROR, PW_WHAT_IF_ERROR_SYNTAX);
    g_test_message ("%s", error->message);
    g_assert_nonnull (strstr (error->message, bad[i][1]));
    g_assert_true (g_str_has_prefix (error->message, "\""));
  }
}

static double
time_with (const Case *c, const char *text, GError **error) {
  g_autoptr (GArray) changes = pw_what_if_parse (text, error);
  g_assert_nonnull (changes);
  g_autoptr (PwStageCosts) costs = pw_stage_costs_copy (c->costs);
  if (!pw_what_if_apply (changes, c->lowered->placement, c->edges, costs, error))
    return -1;
  PwSimInput input = c->input;
  input.costs = costs;
  g_autoptr (PwSimResult) result = pw_sim_run (&input, error);
  return result->iteration_time;
}

/* 1f1b on 4 ranks, 8 micro-batches: F 1, B 2, messages 0.5. Everything twice as fast halves the
 * time; the other changes by hand: the closed form of equal stages. */
static void
test_by_hand (void) {
  g_autoptr (Case) c = case_named ("1f1b", 4, 8, 1, 2, 0.5, PW_POLICY_PER_EDGE);
  double before = time_with (c, "rank 0: 1x", NULL);
  g_assert_cmpfloat (before, ==, 41);
  g_assert_cmpfloat (time_with (c, "rank: 2x, link: 2x", NULL), ==, before / 2);
  g_assert_cmpfloat (time_with (c, "stage: 2x, link: 2x", NULL), ==, before / 2);
  g_assert_cmpfloat (time_with (c, "link: 0.5x, rank: 0.5x", NULL), ==, before * 2);
  g_assert_cmpfloat (time_with (c, "latency: =0.25", NULL), ==, time_with (c, "link: 2x", NULL));
  g_assert_cmpfloat (time_with (c, "latency: 2x", NULL), ==, time_with (c, "link: 2x", NULL));
  for (int i = 0; i < 4; i++) {
    g_autofree char *rank = g_strdup_printf ("rank %d: 1.5x", i);
    g_autofree char *stage = g_strdup_printf ("stage %d: 1.5x", i);
    g_assert_cmpfloat (time_with (c, rank, NULL), ==, time_with (c, stage, NULL));
  }
  c->costs->link[1].bandwidth = 8;
  c->costs->message_bytes[1] = 4; /* 0.5 more */
  g_assert_cmpfloat (time_with (c, "bandwidth 1-2: 2x", NULL), ==,
                     time_with (c, "latency 2-1: =0.25", NULL));
}

static void
test_what_is_not_there (void) {
  static const char *const cases[][2] = { { "rank 4: 2x", "rank 4: the last one is 3" },
                                          { "stage 4: 2x", "stage 4: the last one is 3" },
                                          { "link 0-2: 2x", "link 0-2: no message goes between" } };
  g_autoptr (Case) c = case_named ("1f1b", 4, 8, 1, 2, 0.5, PW_POLICY_PER_EDGE);
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (GError) error = NULL;
    g_assert_cmpfloat (time_with (c, cases[i][0], &error), ==, -1);
    g_assert_error (error, PW_WHAT_IF_ERROR, PW_WHAT_IF_ERROR_VALUE);
    g_assert_nonnull (strstr (error->message, cases[i][1]));
  }
  g_autoptr (Case) both = case_named ("chimera", 4, 8, 1, 2, 0.5, PW_POLICY_PER_EDGE);
  g_autoptr (GError) error = NULL;
  g_assert_cmpfloat (time_with (both, "link 0-1: 2x", &error), ==, -1);
  g_assert_nonnull (strstr (error->message, "two directions"));
  g_assert_cmpfloat (time_with (both, "rank 0: 0.1x", NULL), >, time_with (both, "link: 1x", NULL));
}

/* Each row is what the change alone gives; shared links are run one after another. */
static void
test_sensitivities (void) {
  for (int i = 0; i < 30; i++) {
    g_autoptr (Case) c = case_random ();
    costs_randomise (c->costs, FALSE);
    c->input.iterations = g_test_rand_int_range (1, 3);
    for (int e = 0; i % 3 == 0 && e < c->costs->n_edges; e++)
      c->costs->link[e].sharing = PW_LINK_FCFS;
    double before = time_with (c, "rank: 1x", NULL);
    g_autoptr (GArray) rows = pw_sim_sensitivities (&c->input, before, NULL);
    g_assert_cmpint (rows->len, >=, c->lowered->ranks + c->lowered->stages);
    for (guint k = 0; k < rows->len; k++) {
      const PwSimSensitivity *row = &g_array_index (rows, PwSimSensitivity, k);
      g_autofree char *text
          = row->kind == PW_WHAT_IF_RANK     ? g_strdup_printf ("rank %d: 1.01x", row->from)
            : row->kind == PW_WHAT_IF_STAGE  ? g_strdup_printf ("stage %d: 1.01x", row->from)
            : row->kind == PW_WHAT_IF_REDUCE ? g_strdup ("reduce: 1.01x")
            : row->from < 0                  ? g_strdup ("link: 1.01x")
                            : g_strdup_printf ("link %d-%d: 1.01x", row->from, row->to);
      g_assert_cmpfloat (row->iteration_time, ==, time_with (c, text, NULL));
      g_assert_cmpfloat (row->gain, ==, (before - row->iteration_time) / before);
      if (k > 0)
        g_assert_cmpfloat (row->gain, <=, row[-1].gain);
    }
  }
}

int
main (int argc, char **argv) {
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/sim/what-if/changes-are-read", test_good_texts);
  g_test_add_func ("/sim/what-if/mistakes-are-named-at-their-place", test_bad_texts);
  g_test_add_func ("/sim/what-if/changes-by-hand", test_by_hand);
  g_test_add_func ("/sim/what-if/what-is-not-there-is-refused", test_what_is_not_there);
  g_test_add_func ("/sim/sensitivity/each-row-is-its-change-alone", test_sensitivities);
  return g_test_run ();
}
