#include "schedules/show.h"
#include "schedules/csv.h"
#include "schedules/lower.h"

#include <string.h>

static PwSchedule *
generate (const char *name, int ranks, int microbatches) {
  PwScheduleParams params;
  pw_schedule_params_init (&params);
  params.ranks = ranks;
  params.microbatches = microbatches;
  return pw_schedule_generate (name, &params, NULL);
}

static void
test_1f1b_is_as_drawn (void) {
  g_autoptr (PwSchedule) schedule = generate ("1f1b", 3, 4);
  PwShowOptions options = { .F = 1, .I = 1, .W = 1 };
  g_autofree char *text = pw_schedule_show (schedule, &options);
  g_assert_cmpstr (text, ==,
                   "time     0              5              10             15\n"
                   "rank 0 | F0 F1 F2 .  .  .  .  B0--- F3 B1--- .  B2--- .  B3---\n"
                   "rank 1 | .  F0 F1 .  .  B0--- F2 B1--- F3 B2--- .  B3--- .  .\n"
                   "rank 2 | .  .  F0 B0--- F1 B1--- F2 B2--- F3 B3--- .  .  .  .\n"
                   "F forward, B backward, . idle; the number is the micro-batch\n"
                   "18 time units, bubble 33.3%\n");
}

static void
test_messages_do_not_show (void) {
  g_autoptr (PwSchedule) schedule = generate ("1f1b", 3, 4);
  PwLowerOptions lower = { .policy = PW_POLICY_RENDEZVOUS, .updates = TRUE };
  g_autoptr (PwSchedule) lowered = pw_schedule_lower (schedule, NULL, &lower, NULL);
  PwShowOptions options = { .F = 1, .I = 1, .W = 1 };
  g_autofree char *compute = pw_schedule_show (schedule, &options);
  g_autofree char *same = pw_schedule_show (lowered, &options);
  g_assert_cmpstr (compute, ==, same);
}

static void
test_no_line_is_wider_than_asked (void) {
  for (int P = 1; P <= 12; P += 5)
    for (int M = 1; M <= 40; M += 7)
      for (int width = 40; width <= 120; width += 16) {
        g_autoptr (PwSchedule) schedule = generate ("1f1b", P, M);
        PwShowOptions options = { .F = 1, .I = 1.5, .W = 1, .width = width };
        g_autofree char *text = pw_schedule_show (schedule, &options);
        g_auto (GStrv) lines = g_strsplit (text, "\n", -1);
        gboolean cut = strstr (text, "\ncut: ") != NULL;
        int longest = 0;
        for (int i = 0; i <= P; i++)
          longest = MAX (longest, (int)strlen (lines[i]));
        g_assert_cmpint (longest, <=, width);
        if (cut)
          g_assert_cmpint (longest + 6, >=, width);
      }
}

static void
test_chunks_and_directions_are_told_apart (void) {
  PwShowOptions options = { .F = 1, .I = 1, .W = 1 };
  g_autoptr (PwSchedule) v
      = pw_schedule_from_csv ("v", "0F0,3F0,3I0,3W0,0I0,0W0\n1F0,2F0,2I0,2W0,1I0,1W0", NULL, NULL);
  g_autofree char *wave = pw_schedule_show (v, &options);
  g_assert_nonnull (strstr (wave, "F0a .   .   F0b I0b W0b"));
  g_autoptr (PwSchedule) two
      = pw_schedule_from_csv ("two", "0F0,1F1,1B1,0B0\n0F1,1F0,1B0,0B1", NULL, NULL);
  g_autofree char *pipes = pw_schedule_show (two, &options);
  g_assert_nonnull (strstr (pipes, "F0 f1 b1--- B0---"));
}

static void
test_what_never_runs_is_said (void) {
  PwShowOptions options = { .F = 1, .I = 1, .W = 1 };
  g_autoptr (PwSchedule) stuck
      = pw_schedule_from_csv ("x", "0F0,0B0,0F1,0B1\n1F1,1B1,1F0,1B0", NULL, NULL);
  g_autofree char *text = pw_schedule_show (stuck, &options);
  g_assert_nonnull (strstr (text, "rank 1 never gets to 1F1\n"));
}

static void
test_color_changes_nothing_else (void) {
  g_autoptr (PwSchedule) schedule = generate ("gpipe", 3, 3);
  PwShowOptions plain = { .F = 1, .I = 1, .W = 1 }, colored = plain;
  colored.color = TRUE;
  g_autofree char *expected = pw_schedule_show (schedule, &plain);
  g_autofree char *text = pw_schedule_show (schedule, &colored);
  g_autoptr (GRegex) escape = g_regex_new ("\033\\[[0-9;]*m", 0, 0, NULL);
  g_autofree char *stripped = g_regex_replace_literal (escape, text, -1, 0, "", 0, NULL);
  g_assert_cmpuint (strlen (text), >, strlen (stripped));
  g_assert_cmpstr (stripped, ==, expected);
}

int
main (int argc, char **argv) {
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/schedules/show/1f1b-is-as-drawn", test_1f1b_is_as_drawn);
  g_test_add_func ("/schedules/show/messages-do-not-show", test_messages_do_not_show);
  g_test_add_func ("/schedules/show/no-line-is-wider-than-asked", test_no_line_is_wider_than_asked);
  g_test_add_func ("/schedules/show/chunks-and-directions-are-told-apart",
                   test_chunks_and_directions_are_told_apart);
  g_test_add_func ("/schedules/show/what-never-runs-is-said", test_what_never_runs_is_said);
  g_test_add_func ("/schedules/show/color-changes-nothing-else", test_color_changes_nothing_else);
  return g_test_run ();
}
