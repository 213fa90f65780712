/* How much later each action may end, as a file: one line per action, in the order of the lists. */
#include "cli/report.h"

static void
add_time (GString *text, double time) {
  char number[G_ASCII_DTOSTR_BUF_SIZE];
  g_string_append_printf (text, ",%s", g_ascii_formatd (number, sizeof number, "%.12g", time));
}

char *
pw_report_slack_csv (const PwSimResult *result, PwSimProgram *program) {
  g_autofree double *slack = g_new (double, (gsize)result->offset[result->ranks] + 1);
  pw_sim_slack (program, slack);
  GString *text = g_string_new ("rank,index,iteration,action,start,end,slack\n");
  for (int rank = 0; rank < result->ranks; rank++) {
    int iteration = 0;
    for (int64_t id = result->offset[rank]; id < result->offset[rank + 1]; id++) {
      char name[PW_ACTION_TEXT_MAX];
      int64_t index = id - result->offset[rank];
      PwAction action = pw_sim_program_action (program, rank, index, &iteration);
      g_string_append_printf (text, "%d,%" G_GINT64_FORMAT ",%d,%s", rank, index, iteration,
                              pw_action_format (action, name));
      add_time (text, result->start[id]);
      add_time (text, result->end[id]);
      add_time (text, slack[id]);
      g_string_append_c (text, '\n');
    }
  }
  return g_string_free (text, FALSE);
}
