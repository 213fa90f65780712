#include "schedules/csv.h"
#include "schedules/check.h"
#include "schedules/lower.h"
#include "schedules/show.h"
#include "tests/schedules/reference_schedule.h"

#include <string.h>

static void
assert_reads_as (const char *text, const char *expected) {
  g_autoptr (GError) error = NULL;
  g_autoptr (PwSchedule) schedule = pw_schedule_from_csv ("a.csv", text, NULL, &error);
  g_assert_no_error (error);
  g_autofree char *written = pw_schedule_to_csv (schedule, PW_CSV_OURS);
  g_assert_cmpstr (written, ==, expected);
}

static void
test_grammar (void) {
  const struct {
    const char *text, *expected;
  } rows[] = {
    { "0F0,0B0", "0F0,0B0\n" },
    { "0F0,,,0B0\n,1F0,1B0,", "0F0,0B0\n1F0,1B0\n" },
    { "\xef\xbb\xbf 0F0 ,\t0B0\r\n,1F0,1B0\r\n\r\n\n", "0F0,0B0\n1F0,1B0\n" },
    { "0F0,0B0\n\n1F0,1B0\n", "0F0,0B0\n,\n1F0,1B0\n" },
    { "\"0F0\",\"\", \"0B0\" \r\"1F0\",\"1B0\"\r", "0F0,0B0\n1F0,1B0\n" },
    { "0F0,0F1,(0B0;0F2)OVERLAP_F_B,0B1,0B2", "0F0,0F1,(0B0;0F2)OVERLAP_F_B,0B1,0B2\n" },
    { "0UNSHARD,0F0,0B0,0REDUCE_GRAD,0WAIT_REDUCE_GRAD,0RESHARD,0NORM,0U",
      "0UNSHARD,0F0,0B0,0REDUCE_GRAD,0RESHARD,0NORM,0U\n" },
    { "0F0,0OFFLOAD0,0RELOAD0,0R0,0B0", "0F0,0OFFLOAD0,0RELOAD0,0R0,0B0\n" },
    { "0F0,0SEND_F0,0WAIT_SEND_F0,0RECV_B0,0B0\n1RECV_F0,1F0,1B0,1SEND_B0,1WAIT_SEND_B0",
      "0F0,0SEND_F0,0RECV_B0,0B0\n1RECV_F0,1F0,1B0,1SEND_B0\n" },
    /* Both dialects, see csv.h. */
    { "0F0,0I0,0W0", "0F0,0I0,0W0\n" },
    { "0F0,0B0,0W0", "0F0,0I0,0W0\n" },
    { "0F0,0BW0", "0F0,0B0\n" },
    { "0F0,0F1,0B0,0W0,0BW1", "0F0,0F1,0I0,0W0,0B1\n" },
    { "0F0,0F1,0I0,0W0,0B1", "0F0,0F1,0I0,0W0,0B1\n" },
    { "0F0,0F1,0B0,0B1\n1F0,1F1,1B0,1W0,1B1,1W1", "0F0,0F1,0I0,0I1\n1F0,1F1,1I0,1W0,1I1,1W1\n" },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (rows); i++)
    assert_reads_as (rows[i].text, rows[i].expected);
}

static void
test_bad_cells_are_named (void) {
  const struct {
    const char *text;
    PwScheduleError code;
    const char *place;
  } rows[] = {
    { "", PW_SCHEDULE_ERROR_SYNTAX, "bad.csv: " },
    { "\n,,\n", PW_SCHEDULE_ERROR_SYNTAX, "bad.csv: " },
    { "0U\n", PW_SCHEDULE_ERROR_SYNTAX, "bad.csv: " },
    { "0F0,F1", PW_SCHEDULE_ERROR_SYNTAX, "bad.csv: row 1, cell 2: " },
    { "0F0\n1F0,,1Q0", PW_SCHEDULE_ERROR_SYNTAX, "bad.csv: row 2, cell 3: " },
    { "0F0,0F", PW_SCHEDULE_ERROR_SYNTAX, "bad.csv: row 1, cell 2: " },
    { "0F0,0U0", PW_SCHEDULE_ERROR_SYNTAX, "bad.csv: row 1, cell 2: " },
    { "0F0 0B0", PW_SCHEDULE_ERROR_SYNTAX, "bad.csv: row 1, cell 1: " },
    { "0f0", PW_SCHEDULE_ERROR_SYNTAX, "bad.csv: row 1, cell 1: " },
    { "-1F0", PW_SCHEDULE_ERROR_SYNTAX, "bad.csv: row 1, cell 1: " },
    { "0F-1", PW_SCHEDULE_ERROR_SYNTAX, "bad.csv: row 1, cell 1: " },
    { "65535F0", PW_SCHEDULE_ERROR_SYNTAX, "bad.csv: row 1, cell 1: " },
    { "99999999999999999999F0", PW_SCHEDULE_ERROR_SYNTAX, "bad.csv: row 1, cell 1: " },
    { "0F16777215", PW_SCHEDULE_ERROR_SYNTAX, "bad.csv: row 1, cell 1: " },
    { "0F99999999999999999999", PW_SCHEDULE_ERROR_SYNTAX, "bad.csv: row 1, cell 1: " },
    { "(0F0;0B1", PW_SCHEDULE_ERROR_SYNTAX, "bad.csv: row 1, cell 1: " },
    { "(0F0;0B1)OVERLAP", PW_SCHEDULE_ERROR_SYNTAX, "bad.csv: row 1, cell 1: " },
    { "(0F0)OVERLAP_F_B", PW_SCHEDULE_ERROR_SYNTAX, "bad.csv: row 1, cell 1: " },
    { "(0F0;0B1;0B2)OVERLAP_F_B", PW_SCHEDULE_ERROR_SYNTAX, "bad.csv: row 1, cell 1: " },
    { "(0F0;0SEND_F1)OVERLAP_F_B", PW_SCHEDULE_ERROR_SYNTAX, "bad.csv: row 1, cell 1: " },
    { "(0F0;0B1)GROUP", PW_SCHEDULE_ERROR_SYNTAX, "bad.csv: row 1, cell 1: " },
    { "()GROUP", PW_SCHEDULE_ERROR_SYNTAX, "bad.csv: row 1, cell 1: " },
    { "0F0@1", PW_SCHEDULE_ERROR_SYNTAX, "bad.csv: row 1, cell 1: " },
    { "0F0,1F0,0SEND_F0@1", PW_SCHEDULE_ERROR_SYNTAX, "bad.csv: row 1, cell 3: " },
    { "0F0\n1F0,,1SEND_F0", PW_SCHEDULE_ERROR_SYNTAX, "bad.csv: row 2, cell 3: " },
    { "0RECV_F0,0F0", PW_SCHEDULE_ERROR_SYNTAX, "bad.csv: row 1, cell 1: " },
    { "0F\xff\x01", PW_SCHEDULE_ERROR_SYNTAX, "bad.csv: row 1, cell 1: " },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (rows); i++) {
    g_autoptr (GError) error = NULL;
    g_assert_null (pw_schedule_from_csv ("bad.csv", rows[i].text, NULL, &error));
    g_assert_error (error, PW_SCHEDULE_ERROR, rows[i].code);
    if (!g_str_has_prefix (error->message, rows[i].place))
      g_error ("row %zu: %s", i, error->message);
    g_assert_true (g_utf8_validate (error->message, -1, NULL));
    g_assert_null (strchr (error->message, '\n'));
  }
}

static void
test_sizes_are_inferred (void) {
  const struct {
    const char *text;
    int ranks, stages, microbatches, chunks, directions;
    PwPlacementKind kind;
    PwMode mode;
    gboolean is_lowered;
  } rows[] = {
    { "0F0,0F1\n1F0,1F1", 2, 2, 2, 1, 1, PW_PLACEMENT_LOOP, PW_MODE_INFERENCE, FALSE },
    { "0F0,2F0,2B0,0B0\n1F0,3F0,3B0,1B0", 2, 4, 1, 2, 1, PW_PLACEMENT_LOOP, PW_MODE_TRAINING,
      FALSE },
    { "0F0,3F0,3B0,0B0\n1F0,2F0,2B0,1B0", 2, 4, 1, 2, 1, PW_PLACEMENT_WAVE, PW_MODE_TRAINING,
      FALSE },
    { "0F0,1F1,1B1,0B0\n0F1,1F0,1B0,0B1", 2, 2, 2, 1, 2, PW_PLACEMENT_BIDIRECTIONAL,
      PW_MODE_TRAINING, FALSE },
    { "1F0,1B0\n0F0,0B0", 2, 2, 1, 1, 1, PW_PLACEMENT_CUSTOM, PW_MODE_TRAINING, FALSE },
    { "0F0,1F0,1B0,0B0\n2F0,2B0", 2, 3, 1, 2, 1, PW_PLACEMENT_CUSTOM, PW_MODE_TRAINING, FALSE },
    { "0F0,0B0,0U", 1, 1, 1, 1, 1, PW_PLACEMENT_LOOP, PW_MODE_TRAINING, TRUE },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (rows); i++) {
    g_autoptr (PwSchedule) s = pw_schedule_from_csv ("dir/x.csv", rows[i].text, NULL, NULL);
    g_assert_cmpstr (s->name, ==, "x.csv");
    g_assert_cmpint (s->ranks, ==, rows[i].ranks);
    g_assert_cmpint (s->stages, ==, rows[i].stages);
    g_assert_cmpint (s->microbatches, ==, rows[i].microbatches);
    g_assert_cmpint (s->chunks, ==, rows[i].chunks);
    g_assert_cmpint (s->placement->directions, ==, rows[i].directions);
    g_assert_cmpint (s->placement->kind, ==, rows[i].kind);
    g_assert_cmpint (s->mode, ==, rows[i].mode);
    g_assert_cmpint (s->is_lowered, ==, rows[i].is_lowered);
    g_assert_true (s->promise.synchronous);
  }
}

/* Two micro-batches that go opposite ways are two directions, and check as such. */
static void
test_two_directions_are_legal (void) {
  g_autoptr (PwSchedule) s
      = pw_schedule_from_csv ("x", "0F0,1F1,1B1,0B0\n0F1,1F0,1B0,0B1", NULL, NULL);
  g_assert_cmpint (s->direction[0], ==, 0);
  g_assert_cmpint (s->direction[1], ==, 1);
  for (PwPolicy policy = 0; policy < PW_POLICY_N; policy++) {
    PwCheckOptions options = { .policy = policy };
    g_autoptr (PwCheckReport) report = pw_schedule_check (s, NULL, &options);
    g_assert_true (report->valid);
    for (int rank = 0; rank < 2; rank++)
      g_assert_cmpfloat (report->peak_activations[rank], ==, 2);
  }
}

static void
test_updates_in_between_are_asynchronous (void) {
  g_autoptr (PwSchedule) s = pw_schedule_from_csv ("x", "0F0,0B0,0U,0F1,0B1,0U", NULL, NULL);
  g_assert_false (s->promise.synchronous);
}

static void
test_torch_dialect_leaves_out_what_it_lacks (void) {
  const char text[] = "0F0,0SEND_F0,0F1,(0SEND_F1;0RECV_B0)GROUP,0R0,0B0,0RECV_B1,0B1,0NORM,0U\n"
                      "1RECV_F0,1F0,1B0,(1SEND_B0;1RECV_F1)GROUP,1F1,1B1,1SEND_B1,1NORM,1U\n";
  g_autoptr (PwSchedule) s = pw_schedule_from_csv ("x", text, NULL, NULL);
  g_autofree char *ours = pw_schedule_to_csv (s, PW_CSV_OURS);
  g_autofree char *torch = pw_schedule_to_csv (s, PW_CSV_TORCH);
  g_assert_cmpstr (ours, ==, text);
  g_assert_cmpstr (
      torch, ==,
      "0F0,0SEND_F0,0F1,0SEND_F1,0RECV_B0,0B0,0WAIT_SEND_F0,0RECV_B1,0B1,0WAIT_SEND_F1\n"
      "1RECV_F0,1F0,1B0,1SEND_B0,1RECV_F1,1F1,1B1,1SEND_B1,1WAIT_SEND_B0,"
      "1WAIT_SEND_B1\n");
  /* Reading drops the waits again; reductions are added where asked for, and once. */
  g_autoptr (PwSchedule) reduced = pw_schedule_add_reductions (s);
  g_autoptr (PwSchedule) again = pw_schedule_add_reductions (reduced);
  g_autofree char *text_reduced = pw_schedule_to_csv (again, PW_CSV_TORCH);
  g_autoptr (PwSchedule) read = pw_schedule_from_csv ("x", text_reduced, NULL, NULL);
  g_autofree char *kept = pw_schedule_to_csv (read, PW_CSV_OURS);
  g_assert_cmpstr (kept, ==,
                   "0F0,0SEND_F0,0F1,0SEND_F1,0RECV_B0,0B0,0RECV_B1,0B1,0REDUCE_GRAD\n"
                   "1RECV_F0,1F0,1B0,1SEND_B0,1RECV_F1,1F1,1B1,1SEND_B1,1REDUCE_GRAD\n");
}

static void
test_edges_beyond_the_chain_round_trip (void) {
  for (int round = 0; round < 300; round++) {
    int stages = g_test_rand_int_range (2, 7), ranks = g_test_rand_int_range (1, stages + 1);
    g_autoptr (GError) error = NULL;
    g_autoptr (PwStageEdges) edges = reference_random_edges (stages);
    g_autoptr (PwSchedule) schedule
        = reference_random_schedule (edges, ranks, g_test_rand_int_range (1, 4), round % 2);
    PwLowerOptions options = { .policy = PW_POLICY_PER_EDGE, .batched = round % 3 == 0 };
    g_autoptr (PwSchedule) lowered = pw_schedule_lower (schedule, edges, &options, NULL);
    g_autofree char *text = pw_schedule_to_csv (lowered, PW_CSV_OURS);
    g_autoptr (PwSchedule) read = pw_schedule_from_csv ("x", text, edges, &error);
    g_assert_no_error (error);
    g_assert_true (reference_same_lists (lowered, read));
  }
}

static void
test_too_many_stages_for_the_model (void) {
  g_autoptr (GError) error = NULL;
  g_autoptr (PwStageEdges) edges = pw_stage_edges_new_chain (2);
  g_assert_null (pw_schedule_from_csv ("x", "0F0\n1F0\n2F0\n", edges, &error));
  g_assert_error (error, PW_SCHEDULE_ERROR, PW_SCHEDULE_ERROR_PLACEMENT);
}

/* Whatever the text, reading gives a schedule or an error, and a schedule can be asked anything. */
static void
try_text (const char *text) {
  g_autoptr (GError) error = NULL;
  g_autoptr (PwSchedule) schedule = pw_schedule_from_csv ("fuzz", text, NULL, &error);
  g_assert_true ((schedule == NULL) == (error != NULL));
  if (schedule == NULL) {
    g_assert_true (g_str_has_prefix (error->message, "fuzz: row ")
                   || g_str_has_prefix (error->message, "fuzz: no cell holds "));
    return;
  }
  PwShowOptions show = { .F = 1, .I = 1, .W = 1 };
  g_autofree char *picture = pw_schedule_show (schedule, &show);
  g_autofree char *written = pw_schedule_to_csv (schedule, PW_CSV_TORCH);
  g_autofree char *again = pw_schedule_to_csv (schedule, PW_CSV_OURS);
  g_autoptr (PwSchedule) read = pw_schedule_from_csv ("fuzz", again, NULL, NULL);
  /* A full and a split backward of the same micro-batch, once both are written in today's words,
   * look like the old dialect. */
  gboolean ambiguous = strstr (text, "BW") != NULL;
  if (read == NULL || (!ambiguous && !reference_same_lists (schedule, read)))
    g_error ("does not round-trip: %s", again);
  for (PwPolicy policy = 0; policy < PW_POLICY_N; policy++) {
    PwCheckOptions check = { .policy = policy, .memory_limit = 1 };
    PwLowerOptions lower = { .policy = policy, .batched = TRUE, .recompute = PW_RECOMPUTE_STAGE };
    g_autoptr (PwCheckReport) report = pw_schedule_check (schedule, NULL, &check);
    g_autoptr (PwSchedule) raised = pw_schedule_raise (schedule);
    g_autoptr (PwSchedule) lowered = pw_schedule_lower (raised, NULL, &lower, NULL);
    if (report->valid)
      g_assert_nonnull (lowered);
  }
}

static void
mutate (GString *text) {
  static const char alphabet[] = "0123456789FBIWRU,;()\n@SEND_RECV_OVERLAP_F_BGROUP";
  gsize at = (gsize)g_test_rand_int_range (0, (gint32)text->len);
  char byte = g_test_rand_int_range (0, 10) == 0
                  ? (char)g_test_rand_int_range (1, 256)
                  : alphabet[g_test_rand_int_range (0, sizeof alphabet - 1)];
  switch (g_test_rand_int_range (0, 4)) {
  case 0:
    text->str[at] = byte;
    break;
  case 1:
    g_string_insert_c (text, (gssize)at, byte);
    break;
  case 2:
    if (text->len > 1)
      g_string_erase (text, (gssize)at, 1);
    break;
  default: { /* copy a piece elsewhere */
    gsize n = MIN ((gsize)g_test_rand_int_range (1, 12), text->len - at);
    g_autofree char *piece = g_strndup (text->str + at, n);
    g_string_insert (text, g_test_rand_int_range (0, (gint32)text->len), piece);
    break;
  }
  }
}

static void
test_mutated_files (void) {
  const char *const names[] = { "1f1b", "gpipe", "naive" };
  for (int round = 0; round < 1500; round++) {
    PwScheduleParams params;
    pw_schedule_params_init (&params);
    params.ranks = g_test_rand_int_range (1, 4);
    params.microbatches = g_test_rand_int_range (1, 4);
    g_autoptr (PwSchedule) schedule = pw_schedule_generate (names[round % 3], &params, NULL);
    PwLowerOptions options = { .policy = PW_POLICY_SHARED_STREAM,
                               .batched = TRUE,
                               .updates = TRUE,
                               .recompute = PW_RECOMPUTE_STAGE };
    g_autoptr (PwSchedule) lowered = pw_schedule_lower (schedule, NULL, &options, NULL);
    g_autofree char *csv = pw_schedule_to_csv (round % 2 ? lowered : schedule, PW_CSV_OURS);
    g_autoptr (GString) text = g_string_new (csv);
    for (int k = g_test_rand_int_range (1, 5); k > 0; k--)
      mutate (text);
    try_text (text->str);
  }
}

/* Cells dropped, doubled, and moved about: readable texts of broken schedules. */
static void
test_shuffled_cells (void) {
  int valid = 0, broken = 0;
  for (int round = 0; round < 1500; round++) {
    PwScheduleParams params;
    pw_schedule_params_init (&params);
    params.ranks = g_test_rand_int_range (1, 5);
    params.microbatches = g_test_rand_int_range (1, 5);
    g_autoptr (PwSchedule) schedule = pw_schedule_generate ("1f1b", &params, NULL);
    PwLowerOptions options = { .policy = PW_POLICY_PER_EDGE, .batched = round % 4 == 0 };
    g_autoptr (PwSchedule) lowered = pw_schedule_lower (schedule, NULL, &options, NULL);
    g_autofree char *csv = pw_schedule_to_csv (round % 2 ? lowered : schedule, PW_CSV_OURS);
    g_autoptr (GString) text = g_string_new (NULL);
    g_auto (GStrv) cells = g_strsplit_set (csv, ",\n", -1);
    guint n = g_strv_length (cells);
    for (int k = g_test_rand_int_range (1, 4); k > 0; k--) {
      char **a = &cells[g_test_rand_int_range (0, (gint32)n)];
      char **b = &cells[g_test_rand_int_range (0, (gint32)n)];
      char *kept = *a;
      if (g_test_rand_int_range (0, 2) == 0) {
        *a = *b;
        *b = kept;
      } else {
        *a = g_strdup (g_test_rand_int_range (0, 2) == 0 ? *b : "");
        g_free (kept);
      }
    }
    const char *separator = csv;
    for (guint i = 0; i < n; i++) {
      separator += strcspn (separator, ",\n");
      g_string_append (text, cells[i]);
      if (*separator != '\0')
        g_string_append_c (text, *separator++);
    }
    try_text (text->str);
    g_autoptr (PwSchedule) read = pw_schedule_from_csv ("x", text->str, NULL, NULL);
    if (read == NULL)
      continue;
    PwCheckOptions check = { .policy = PW_POLICY_PER_EDGE };
    g_autoptr (PwCheckReport) report = pw_schedule_check (read, NULL, &check);
    valid += report->valid;
    broken += !report->valid;
  }
  g_assert_cmpint (valid, >, 10);
  g_assert_cmpint (broken, >, 500);
}

static void
test_random_bytes (void) {
  static const char alphabet[] = "0011223FFBBIWRU,,,;()\n\n@SENDRECV_";
  for (int round = 0; round < 3000; round++) {
    char text[64];
    int n = g_test_rand_int_range (0, sizeof text);
    for (int i = 0; i < n; i++)
      text[i] = round % 2 ? alphabet[g_test_rand_int_range (0, sizeof alphabet - 1)]
                          : (char)g_test_rand_int_range (1, 256);
    text[n] = '\0';
    try_text (text);
  }
}

int
main (int argc, char **argv) {
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/schedules/csv/grammar-is-read", test_grammar);
  g_test_add_func ("/schedules/csv/bad-cells-are-named", test_bad_cells_are_named);
  g_test_add_func ("/schedules/csv/sizes-are-inferred", test_sizes_are_inferred);
  g_test_add_func ("/schedules/csv/two-directions-are-legal", test_two_directions_are_legal);
  g_test_add_func ("/schedules/csv/updates-in-between-are-asynchronous",
                   test_updates_in_between_are_asynchronous);
  g_test_add_func ("/schedules/csv/torch-dialect-leaves-out-what-it-lacks",
                   test_torch_dialect_leaves_out_what_it_lacks);
  g_test_add_func ("/schedules/csv/edges-beyond-the-chain-round-trip",
                   test_edges_beyond_the_chain_round_trip);
  g_test_add_func ("/schedules/csv/more-stages-than-the-model-are-refused",
                   test_too_many_stages_for_the_model);
  g_test_add_func ("/schedules/csv/mutated-files-never-crash", test_mutated_files);
  g_test_add_func ("/schedules/csv/shuffled-cells-never-crash", test_shuffled_cells);
  g_test_add_func ("/schedules/csv/random-bytes-never-crash", test_random_bytes);
  return g_test_run ();
}
