/* Link use: what travels between each two ranks, and what goes over each thing that messages take.
 */
#include "cli/output.h"
#include "cli/report.h"
#include <stdio.h>

typedef struct {
  int64_t messages;
  double bytes, time;
} Link;

/* The rank a send of RANK goes to. */
static int
receiver (const PwSimulation *simulation, PwAction action) {
  const PwStageEdge *edge = &simulation->edges->edges[action.edge];
  gboolean forward = action.kind == PW_ACTION_SEND_FORWARD;
  return pw_placement_rank (simulation->lowered->placement, (int)action.direction,
                            forward ? edge->consumer : edge->producer);
}

/* [ranks][ranks], from and to. */
static Link *
sum_links (const PwSimulation *simulation) {
  const PwSimResult *result = simulation->result;
  int ranks = result->ranks;
  Link *links = g_new0 (Link, (gsize)ranks * (gsize)ranks);
  int repeats = simulation->input.is_unrolled ? 1 : simulation->input.iterations;
  g_autoptr (PwSchedule) unrolled = pw_schedule_unroll (simulation->lowered, repeats, NULL);
  g_assert (unrolled); /* it was simulated */
  for (int r = 0; r < ranks; r++) {
    for (int64_t i = result->offset[r]; i < result->offset[r + 1]; i++) {
      PwAction action = unrolled->programs[r].actions[i - result->offset[r]];
      if (!pw_action_kinds[action.kind].is_send)
        continue;
      Link *link = &links[r * ranks + receiver (simulation, action)];
      link->messages++;
      link->bytes += (double)simulation->costs->message_bytes[action.edge]
                     / MAX (simulation->lowered->pieces, 1);
      link->time += result->end[i] - result->start[i];
    }
  }
  return links;
}

json_t *
pw_report_links_json (const PwSimulation *simulation) {
  g_autofree Link *links = sum_links (simulation);
  int ranks = simulation->result->ranks;
  json_t *array = json_array ();
  for (int i = 0; i < ranks * ranks; i++) {
    if (links[i].messages == 0)
      continue;
    json_t *object = json_object ();
    json_object_set_new (object, "from", json_integer (i / ranks));
    json_object_set_new (object, "to", json_integer (i % ranks));
    json_object_set_new (object, "messages", json_integer (links[i].messages));
    json_object_set_new (object, "bytes", json_integer ((json_int_t)links[i].bytes));
    json_object_set_new (object, "time", pw_output_number (links[i].time));
    json_array_append_new (array, object);
  }
  return array;
}

/* Links of pairs, one for each direction, say no more than the table of pairs. */
static GArray *
resources_of (const PwSimulation *simulation) {
  GArray *uses = pw_sim_resource_use (&simulation->input, simulation->result);
  for (guint i = 0; i < uses->len; i++) {
    const PwResource *resource = &g_array_index (uses, PwSimResourceUse, i).resource;
    if (resource->kind != PW_RESOURCE_LINK || resource->way == PW_WAY_BOTH)
      return uses;
  }
  g_array_set_size (uses, 0);
  return uses;
}

json_t *
pw_report_resources_json (const PwSimulation *simulation) {
  g_autoptr (GArray) uses = resources_of (simulation);
  json_t *array = json_array ();
  for (guint i = 0; i < uses->len; i++) {
    const PwSimResourceUse *use = &g_array_index (uses, PwSimResourceUse, i);
    char name[PW_RESOURCE_TEXT_MAX];
    json_t *object = json_object ();
    json_object_set_new (object, "resource", json_string (pw_resource_name (&use->resource, name)));
    json_object_set_new (object, "messages", json_integer (use->messages));
    json_object_set_new (object, "bytes", json_integer ((json_int_t)use->bytes));
    json_object_set_new (object, "busy_time", pw_output_number (use->busy_time));
    json_array_append_new (array, object);
  }
  return array;
}

static void
print_resources (const PwSimulation *simulation) {
  g_autoptr (GArray) uses = resources_of (simulation);
  if (uses->len == 0)
    return;
  double total = simulation->result->total_time;
  static const char *const headings[] = { "<resource", "messages", "bytes", "busy", "use", NULL };
  g_autoptr (PwTable) table = pw_table_new (headings);
  for (guint i = 0; i < uses->len; i++) {
    const PwSimResourceUse *use = &g_array_index (uses, PwSimResourceUse, i);
    char name[PW_RESOURCE_TEXT_MAX];
    pw_table_row (table);
    pw_table_text (table, pw_resource_name (&use->resource, name));
    pw_table_integer (table, use->messages);
    pw_table_bytes (table, (int64_t)use->bytes);
    pw_table_time (table, use->busy_time, simulation->costs->unitless);
    pw_table_share (table, total > 0 ? use->busy_time / total : 0);
  }
  printf ("\nWhat messages take, the busiest first\n");
  pw_table_print (table);
}

void
pw_report_links_print (const PwSimulation *simulation) {
  g_autofree Link *links = sum_links (simulation);
  const PwSimResult *result = simulation->result;
  static const char *const headings[] = { "from", "to", "messages", "bytes", "time", "use", NULL };
  g_autoptr (PwTable) table = pw_table_new (headings);
  for (int i = 0; i < result->ranks * result->ranks; i++) {
    if (links[i].messages == 0)
      continue;
    pw_table_row (table);
    pw_table_integer (table, i / result->ranks);
    pw_table_integer (table, i % result->ranks);
    pw_table_integer (table, links[i].messages);
    pw_table_bytes (table, (int64_t)links[i].bytes);
    pw_table_time (table, links[i].time, simulation->costs->unitless);
    pw_table_share (table, result->total_time > 0 ? links[i].time / result->total_time : 0);
  }
  printf ("\nLinks\n");
  pw_table_print (table);
  print_resources (simulation);
}
