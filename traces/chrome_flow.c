#include "traces/chrome_flow_private.h"

#include <stdlib.h>

typedef struct {
  uint64_t place; /* iteration:32 | edge:16 | forward:1 | direction:1 */
  uint32_t microbatch;
  uint32_t record;
} Key;

static Key
make_key (const PwTraceRecord *record, uint32_t index) {
  PwAction action = record->action;
  uint64_t forward = action.kind == PW_ACTION_SEND_FORWARD || action.kind == PW_ACTION_RECV_FORWARD;
  return (Key){
    .place = (uint64_t)(uint32_t)record->iteration << 32 | (uint64_t)action.edge << 2 | forward << 1
             | action.direction,
    .microbatch = action.microbatch,
    .record = index,
  };
}

static int
compare_messages (const Key *a, const Key *b) {
  if (a->place != b->place)
    return a->place < b->place ? -1 : 1;
  return (a->microbatch > b->microbatch) - (a->microbatch < b->microbatch);
}

static gint
compare_keys (gconstpointer left, gconstpointer right) {
  const Key *a = left, *b = right;
  int order = compare_messages (a, b);
  return order != 0 ? order : (a->record > b->record) - (a->record < b->record);
}

static GArray *
collect_keys (const PwTrace *trace, gboolean sends) {
  GArray *keys = g_array_new (FALSE, FALSE, sizeof (Key));
  for (guint i = 0; i < trace->records->len; i++) {
    const PwTraceRecord *record = &g_array_index (trace->records, PwTraceRecord, i);
    const PwActionKindInfo *kind = &pw_action_kinds[record->action.kind];
    if (sends ? kind->is_send : kind->is_recv) {
      Key key = make_key (record, i);
      g_array_append_val (keys, key);
    }
  }
  if (keys->len > 1)
    qsort (keys->data, keys->len, sizeof (Key), compare_keys);
  return keys;
}

static void
match (PwTraceFlows *flows, const PwTrace *trace) {
  g_autoptr (GArray) sends = collect_keys (trace, TRUE);
  g_autoptr (GArray) receives = collect_keys (trace, FALSE);
  for (guint s = 0, r = 0; s < sends->len && r < receives->len;) {
    const Key *send = &g_array_index (sends, Key, s);
    const Key *receive = &g_array_index (receives, Key, r);
    int order = compare_messages (send, receive);
    if (order == 0) {
      flows->partner[send->record] = receive->record;
      flows->partner[receive->record] = send->record;
    }
    s += order <= 0;
    r += order >= 0;
  }
}

/* The first lane that is free again; ENDS has one end time per lane. */
static int
choose_lane (GArray *ends, const PwTraceRecord *record) {
  guint lane = 0;
  while (lane < ends->len && g_array_index (ends, double, lane) > record->start)
    lane++;
  if (lane == ends->len)
    g_array_append_val (ends, record->end);
  else
    g_array_index (ends, double, lane) = record->end;
  return (int)lane;
}

static void
choose_lanes (PwTraceFlows *flows, const PwTrace *trace) {
  g_autoptr (GArray) send_ends = g_array_new (FALSE, FALSE, sizeof (double));
  g_autoptr (GArray) receive_ends = g_array_new (FALSE, FALSE, sizeof (double));
  GArray *ends[2] = { send_ends, receive_ends };
  int rank = 0;
  for (guint i = 0; i <= trace->records->len; i++) {
    const PwTraceRecord *record
        = i < trace->records->len ? &g_array_index (trace->records, PwTraceRecord, i) : NULL;
    for (; rank < trace->info.ranks && (record == NULL || record->rank > rank); rank++)
      for (int side = 0; side < 2; side++) {
        int n_lanes = (int)ends[side]->len;
        g_array_append_val (flows->n_lanes, n_lanes);
        g_array_set_size (ends[side], 0);
      }
    if (record != NULL && pw__trace_is_message (record)) {
      int side = pw_action_kinds[record->action.kind].is_recv;
      flows->lane[i] = choose_lane (ends[side], record);
    }
  }
}

void
pw__trace_flows_init (PwTraceFlows *flows, const PwTrace *trace) {
  gsize n = trace->records->len;
  flows->lane = g_new0 (int, n + 1);
  flows->partner = g_new (int64_t, n + 1);
  flows->n_lanes = g_array_new (FALSE, FALSE, sizeof (int));
  for (gsize i = 0; i < n; i++)
    flows->partner[i] = PW__FLOW_NONE;
  match (flows, trace);
  choose_lanes (flows, trace);
}

void
pw__trace_flows_clear (PwTraceFlows *flows) {
  g_free (flows->lane);
  g_free (flows->partner);
  g_array_unref (flows->n_lanes);
}
