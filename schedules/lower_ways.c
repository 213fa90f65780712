#include "schedules/lower_machine_private.h"

typedef struct {
  uint8_t ticks; /* 0: takes no time and waits for nothing */
  uint8_t flow;
  uint8_t done; /* of the stages that one of a flow waits for the same */
} Kind;
static const Kind kinds[PW_ACTION_N] = {
  [PW_ACTION_FORWARD] = { .ticks = 1, .flow = PW_FLOW_FORWARD, .done = PW_LOWER_FORWARD },
  [PW_ACTION_BACKWARD] = { .ticks = 2, .flow = PW_FLOW_BACKWARD, .done = PW_LOWER_GRADIENT },
  [PW_ACTION_INPUT_GRADIENT] = { .ticks = 1, .flow = PW_FLOW_BACKWARD, .done = PW_LOWER_GRADIENT },
  [PW_ACTION_WEIGHT_GRADIENT] = { .ticks = 1, .flow = PW_FLOW_NONE },
  [PW_ACTION_RECOMPUTE] = { .ticks = 1, .flow = PW_FLOW_NONE, .done = PW_LOWER_RECOMPUTE },
};
static const uint8_t send_of_flow[PW_FLOW_N]
    = { [PW_FLOW_FORWARD] = PW_ACTION_SEND_FORWARD, [PW_FLOW_BACKWARD] = PW_ACTION_SEND_BACKWARD };
static const uint8_t recv_of_flow[PW_FLOW_N]
    = { [PW_FLOW_FORWARD] = PW_ACTION_RECV_FORWARD, [PW_FLOW_BACKWARD] = PW_ACTION_RECV_BACKWARD };

static void
make_ports (PwLowering *l, PwFlow flow, const PwPorts *ports) {
  int stages = l->schedule->stages, places = l->schedule->placement->directions * stages;
  l->ports[flow] = g_new (PwLowerPort, (gsize)ports->start[places]);
  for (int place = 0; place < places; place++)
    for (int k = ports->start[place]; k < ports->start[place + 1]; k++) {
      const PwPort *port = &ports->ports[k];
      PwAction send = pw_action (send_of_flow[flow], place % stages, 0);
      PwAction recv = pw_action (recv_of_flow[flow], port->stage, 0);
      send.edge = recv.edge = (uint16_t)port->edge;
      send.direction = recv.direction = place >= stages;
      l->ports[flow][k] = (PwLowerPort){ .send = pw_action_bits (&send),
                                         .recv = pw_action_bits (&recv),
                                         .to = &l->ranks[port->rank] };
    }
}

static void
make_flow (PwLowering *l, PwFlow flow) {
  const PwStageEdges *edges = l->edges;
  gboolean forward = flow == PW_FLOW_FORWARD;
  const PwPorts *ports = forward ? &l->crossings->consumers : &l->crossings->producers;
  const int *first = forward ? edges->in_start : edges->out_start;
  int stages = l->schedule->stages;
  make_ports (l, flow, ports);
  l->needs[flow] = g_new (uint8_t *, (gsize)edges->n_edges);
  for (int k = 0; k < edges->n_edges; k++)
    l->needs[flow][k] = l->done
                        + l->stride
                              * (forward ? edges->edges[edges->in_edges[k]].producer
                                         : edges->edges[edges->out_edges[k]].consumer);
  for (int place = 0; place < l->schedule->placement->directions * stages; place++)
    l->rows[flow][place] = (PwLowerRow){ .done = l->done + place % stages * l->stride,
                                         .needs = l->needs[flow] + first[place % stages],
                                         .needs_end = l->needs[flow] + first[place % stages + 1],
                                         .ports = l->ports[flow] + ports->start[place],
                                         .ports_end = l->ports[flow] + ports->start[place + 1] };
}

void
pw__lower_make_ways (PwLowering *l) {
  int directions = l->schedule->placement->directions, stages = l->schedule->stages;
  for (int flow = 0; flow <= PW_FLOW_NONE; flow++)
    l->rows[flow] = g_new0 (PwLowerRow, (gsize)(directions * stages));
  for (int place = 0; place < directions * stages; place++)
    l->rows[PW_FLOW_NONE][place].done = l->done + place % stages * l->stride;
  for (PwFlow flow = 0; flow < PW_FLOW_N; flow++)
    make_flow (l, flow);
  for (int kind = 0; kind < PW_ACTION_N; kind++)
    for (int direction = 0; direction < directions; direction++)
      for (int flags = 0; flags < 4; flags++) {
        PwAction action = pw_action ((PwActionKind)kind, 0, 0);
        action.direction = direction != 0;
        action.paired = flags % 2 != 0;
        action.grouped = flags / 2 != 0;
        l->ways[pw_action_key (&action)]
            = (PwLowerWay){ .rows = l->rows[kinds[kind].flow] + direction * stages,
                            .ticks = kinds[kind].ticks,
                            .done = kinds[kind].done };
      }
}

void
pw__lower_clear_ways (PwLowering *l) {
  for (PwFlow flow = 0; flow < PW_FLOW_N; flow++) {
    g_free (l->ports[flow]);
    g_free (l->needs[flow]);
  }
  for (int flow = 0; flow <= PW_FLOW_NONE; flow++)
    g_free (l->rows[flow]);
}
