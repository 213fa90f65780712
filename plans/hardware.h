/* The machine a plan is for: a name from the catalogue, a file, or an object in the plan. */
#pragma once
#include "io/json.h"
#include "plans/precision.h"
#include "plans/rates.h"
#include "plans/topology.h"
#include "plans/collective.h"

typedef enum { PW_COPY_TO_DEVICE, PW_COPY_TO_HOST, PW_COPY_ON_DEVICE, PW_COPY_N } PwCopyKind;
extern const char *const pw_copy_names[]; /* "to_device", "to_host", "on_device", NULL */

typedef struct {
  char *name;
  char *source;            /* where the figures are from */
  double flops;            /* peak of fp32 products per second and rank */
  double flops_tf32;       /* of tf32's; what fp32 has where there is no tf32 */
  double flops_half;       /* of bf16's or fp16's */
  double efficiency;       /* share of the peak that large products reach; default 0.5 */
  double memory_bandwidth; /* bytes per second and rank */
  int64_t memory_bytes;    /* per rank; 0: unknown */
  PwLink link;             /* between ranks of a node */
  PwTopology topology;     /* how they are joined, and nodes with each other */
  PwLink host; /* to and from the host's memory, each rank its own; bandwidth 0: unknown */
  PwCollective collective; /* exchanges of whole groups */
  int64_t communication_bytes; /* that the library of messages holds per communicator and rank */
  /* Measured, by size; they stand in for the figures above where they have rows. */
  PwRates rates[PW_PRECISION_N]; /* of products, by FLOPs */
  PwRates memory_rates;          /* bytes read and written by a kernel, by these */
  PwMessageRates messages;       /* on the link */
  PwRates copies[PW_COPY_N];     /* bytes copied; for the reader */
} PwHardware;

/* FLOP/s that a product of FLOPS reaches. */
double pw_hardware_product_rate (const PwHardware *hardware, PwPrecision precision, double flops);
/* Bytes per second of a kernel that reads and writes BYTES. */
double pw_hardware_memory_rate (const PwHardware *hardware, double bytes);
/* LINK as a message of BYTES finds it. */
PwLink pw_link_at (const PwLink *link, const PwMessageRates *messages, int64_t bytes);

const PwHardware *const *pw_hardware_list (void); /* NULL-terminated */
const PwHardware *pw_hardware_get (const char *name);
/* VALUE: a catalogue name, "FILE.json", or an object (keys as the fields above; "like": a name
 * whose values it starts from). */
PwHardware *pw_hardware_read (PwJsonPlace place, json_t *value, GError **error);
PwHardware *pw_hardware_copy (const PwHardware *hardware);
void pw_hardware_free (PwHardware *hardware);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PwHardware, pw_hardware_free)
json_t *pw_hardware_to_json (const PwHardware *hardware);
/* For a plan's "hardware" and --hardware. */
gboolean pw_hardware_save (const PwHardware *hardware, const char *path, GError **error);
