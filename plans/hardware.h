/* The machine a plan is for: a name from the catalogue, a file, or an object in the plan. */
#pragma once
#include "io/json.h"

/* Who decides when messages share a link. */
typedef enum {
  PW_LINK_OWN,  /* every queue has a link of its own: the schedule alone decides */
  PW_LINK_FCFS, /* one link per pair of ranks and direction, first come first served */
  PW_LINK_FAIR  /* the same link, bandwidth shared equally among the transfers on it */
} PwLinkSharing;
extern const char *const pw_link_sharing_names[]; /* "own", "fcfs", "fair", NULL */

typedef struct {
  double latency_s;
  double bandwidth; /* bytes per second, one direction; 0: infinite */
  PwLinkSharing sharing;
} PwLink;
/* Seconds of one message alone on LINK. */
double pw_link_time (const PwLink *link, int64_t bytes);

typedef struct {
  char *name;
  char *source; /* where the figures are from */
  double flops; /* fp32 and tf32 products per second and rank; what is stated is tf32's where the
                   machine has that */
  double flops_half;       /* bf16 or fp16 products */
  double efficiency;       /* share of the peak that large products reach; default 0.5 */
  double memory_bandwidth; /* bytes per second and rank */
  int64_t memory_bytes;    /* per rank; 0: unknown */
  PwLink link;             /* between neighbouring ranks */
} PwHardware;

const PwHardware *const *pw_hardware_list (void); /* NULL-terminated */
const PwHardware *pw_hardware_get (const char *name);
/* VALUE: a catalogue name, "FILE.json", or an object (keys as the fields above; "like": a name
 * whose values it starts from). */
PwHardware *pw_hardware_read (PwJsonPlace place, json_t *value, GError **error);
PwHardware *pw_hardware_copy (const PwHardware *hardware);
void pw_hardware_free (PwHardware *hardware);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PwHardware, pw_hardware_free)
json_t *pw_hardware_to_json (const PwHardware *hardware);
