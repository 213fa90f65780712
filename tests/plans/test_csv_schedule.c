#include <glib/gstdio.h>
#include <string.h>

#include "plans/resolve.h"
#include "schedules/csv.h"

typedef struct {
  char *folder, *csv;
} Fixture;

static void
setup (Fixture *fixture, gconstpointer data) {
  (void)data;
  fixture->folder = g_dir_make_tmp ("pw-plan-XXXXXX", NULL);
  fixture->csv = g_build_filename (fixture->folder, "schedule.csv", NULL);
}

static void
teardown (Fixture *fixture, gconstpointer data) {
  (void)data;
  g_remove (fixture->csv);
  g_rmdir (fixture->folder);
  g_free (fixture->csv);
  g_free (fixture->folder);
}

/* KEYS of a plan beside the fixture's file. */
static PwPlan *
plan_new (const Fixture *fixture, const char *keys) {
  g_autoptr (GError) error = NULL;
  g_autofree char *file = g_build_filename (fixture->folder, "plan.json", NULL);
  g_autofree char *text = g_strdup_printf (
      "{\"model\": {\"name\": \"gpt\", \"blocks\": 4}, \"optimizer\": \"sgd\", %s}", keys);
  PwPlan *plan = pw_plan_parse (file, text, &error);
  g_assert_no_error (error);
  return plan;
}

static void
write_schedule (const Fixture *fixture, const PwSchedule *schedule) {
  g_autofree char *text = pw_schedule_to_csv (schedule, PW_CSV_OURS);
  g_assert_true (g_file_set_contents (fixture->csv, text, -1, NULL));
}

static void
assert_same_lists (const PwSchedule *a, const PwSchedule *b) {
  g_assert_cmpint (a->ranks, ==, b->ranks);
  for (int rank = 0; rank < a->ranks; rank++) {
    g_assert_cmpint (a->programs[rank].n_prologue, ==, b->programs[rank].n_prologue);
    for (int64_t i = 0; i < a->programs[rank].n_prologue; i++)
      g_assert_true (pw_action_equal (a->programs[rank].actions[i], b->programs[rank].actions[i]));
  }
}

/* A schedule by name and the same one from its file resolve to the same lists, at both levels. */
static void
test_same (Fixture *fixture, gconstpointer data) {
  (void)data;
  g_autoptr (GError) error = NULL;
  g_autoptr (PwPlan) named = plan_new (
      fixture, "\"ranks\": 4, \"schedule\": {\"name\": \"gpipe\", \"microbatches\": 5}");
  g_autoptr (PwPlan) filed = plan_new (fixture, "\"schedule\": {\"csv\": \"schedule.csv\"}");
  g_autoptr (PwResolvedPlan) a = pw_plan_resolve (named, NULL, &error);
  g_assert_no_error (error);
  const PwSchedule *const levels[] = { a->compute, a->lowered };
  for (gsize i = 0; i < G_N_ELEMENTS (levels); i++) {
    write_schedule (fixture, levels[i]);
    g_autoptr (PwResolvedPlan) b = pw_plan_resolve (filed, NULL, &error);
    g_assert_no_error (error);
    g_assert_cmpint (b->microbatches, ==, 5);
    g_assert_true (b->lowered->is_lowered);
    assert_same_lists (a->compute, b->compute);
    assert_same_lists (a->lowered, b->lowered);
  }
}

/* PyTorch's files have no U; what trains must. */
static void
test_torch_gets_updates (Fixture *fixture, gconstpointer data) {
  (void)data;
  g_autoptr (GError) error = NULL;
  g_autoptr (PwPlan) named = plan_new (fixture, "\"ranks\": 2");
  g_autoptr (PwResolvedPlan) a = pw_plan_resolve (named, NULL, &error);
  g_assert_no_error (error);
  g_autofree char *text = pw_schedule_to_csv (a->lowered, PW_CSV_TORCH);
  g_assert_true (g_file_set_contents (fixture->csv, text, -1, NULL));
  g_autoptr (PwPlan) filed = plan_new (fixture, "\"schedule\": \"schedule.csv\"");
  g_autoptr (PwResolvedPlan) b = pw_plan_resolve (filed, NULL, &error);
  g_assert_no_error (error);
  assert_same_lists (a->lowered, b->lowered);
}

static const struct {
  const char *csv, *keys;
  GQuark (*domain) (void);
  int code;
  const char *message;
} bad[] = {
  { "0F0,0B0\n,1F0,1B0\n", "\"ranks\": 3, \"schedule\": \"schedule.csv\"", pw_plan_error_quark,
    PW_PLAN_ERROR_VALUE, "ranks: 3, but " },
  { "0F0,0B0\n,1F0,1B0\n", "\"schedule\": {\"csv\": \"schedule.csv\", \"microbatches\": 2}",
    pw_plan_error_quark, PW_PLAN_ERROR_VALUE, "schedule.microbatches: 2, but " },
  { "0F0,0B0\n,1F0,1B0\n", "\"schedule\": {\"csv\": \"schedule.csv\", \"chunks\": 2}",
    pw_plan_error_quark, PW_PLAN_ERROR_VALUE, "schedule.chunks: a schedule that is read" },
  { "0F0,0B0\n,1B0,1F0\n", "\"schedule\": \"schedule.csv\"", pw_schedule_error_quark, -1,
    "schedule.csv: " },
  { "0F0,0F1,0B0\n,1F0,1F1,1B0,1B1\n", "\"schedule\": \"schedule.csv\"", pw_schedule_error_quark,
    PW_SCHEDULE_ERROR_MISSING, "schedule.csv: missing: " },
  { "0F0,zero\n", "\"schedule\": \"schedule.csv\"", pw_schedule_error_quark,
    PW_SCHEDULE_ERROR_SYNTAX, "schedule.csv: row 1, cell 2: " },
};

static void
test_bad (Fixture *fixture, gconstpointer data) {
  (void)data;
  for (gsize i = 0; i < G_N_ELEMENTS (bad); i++) {
    g_autoptr (GError) error = NULL;
    g_assert_true (g_file_set_contents (fixture->csv, bad[i].csv, -1, NULL));
    g_autoptr (PwPlan) plan = plan_new (fixture, bad[i].keys);
    g_assert_null (pw_plan_resolve (plan, NULL, &error));
    g_test_message ("%s", error->message);
    g_assert_true (error->domain == bad[i].domain ());
    if (bad[i].code >= 0)
      g_assert_cmpint (error->code, ==, bad[i].code);
    g_assert_nonnull (strstr (error->message, bad[i].message));
  }
}

/* --schedule FILE.csv replaces what the plan says of micro-batches and chunks. */
static void
test_override (Fixture *fixture, gconstpointer data) {
  (void)data;
  g_autoptr (GError) error = NULL;
  g_assert_true (g_file_set_contents (fixture->csv, "0F0,0B0\n,1F0,1B0\n", -1, NULL));
  g_autoptr (PwPlan) plan = plan_new (
      fixture, "\"ranks\": 2, \"schedule\": {\"name\": \"gpipe\", \"microbatches\": 9}");
  g_assert_true (pw_plan_override (plan, "schedule", fixture->csv, &error));
  g_autoptr (PwResolvedPlan) r = pw_plan_resolve (plan, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpint (r->microbatches, ==, 1);
}

#define ADD(name, func) g_test_add (name, Fixture, NULL, setup, func, teardown)

int
main (int argc, char **argv) {
  g_test_init (&argc, &argv, NULL);
  ADD ("/plans/csv/file-and-name-resolve-to-the-same", test_same);
  ADD ("/plans/csv/torch-files-are-given-updates", test_torch_gets_updates);
  ADD ("/plans/csv/bad-files-are-refused", test_bad);
  ADD ("/plans/csv/override-replaces-the-plan's-schedule", test_override);
  return g_test_run ();
}
