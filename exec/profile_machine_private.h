/* What profile_machine.c measures, and how one of it is called. */
#pragma once
#include "exec/profile.h"

/* In the order in which they are measured; the products of precision p are PRODUCTS + p. */
typedef enum {
  PW_TABLE_MEMORY,
  PW_TABLE_COPY, /* + PwCopyKind */
  PW_TABLE_PRODUCTS = PW_TABLE_COPY + PW_COPY_N,
  PW_TABLE_N = PW_TABLE_PRODUCTS + PW_PRECISION_N
} PwMachineTable;

typedef struct {
  int table;             /* PwMachineTable */
  int64_t rows, in, out; /* products */
  gsize bytes;           /* memory and copies: of each buffer */
  double size;           /* of the table's row */
  double amount;         /* FLOPs or bytes of one call */
  int calls_max;         /* of one round; 0: any number */
  PwRates *into;
} PwMachinePoint;

#define PW_MACHINE_BUFFERS 5
typedef struct {
  PwOpContext context;
  void *buffers[PW_MACHINE_BUFFERS];
  void *host;
  PwWorkspace workspace;
} PwMachineBench;

/* Appends to POINTS what BACKEND can do; their tables lie in HARDWARE. */
void pw__machine_points (const PwBackend *backend, PwHardware *hardware, GArray *points);
/* Buffers of POINT, filled with small numbers. To be cleared also after a failure. */
gboolean pw__machine_prepare (PwMachineBench *bench, const PwMachinePoint *point, GError **error);
gboolean pw__machine_call (PwMachineBench *bench, const PwMachinePoint *point, GError **error);
void pw__machine_clear (PwMachineBench *bench);
