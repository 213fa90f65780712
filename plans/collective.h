/* What an exchange of a whole group takes: all-reduce, of gradients among replicas or of a norm
 * among ranks, as NCCL does it (its own counts, nccl-tests' PERFORMANCE.md; the double binary tree:
 * Sanders et al. 2009, "Two-tree algorithms for full bandwidth broadcast, reduction and scan").
 *
 *   ring   2 (n - 1) latency + 2 (n - 1) / n bytes / bandwidth
 *   tree   2 ceil (log2 n) latency + 2 bytes / bandwidth */
#pragma once
#include "plans/link.h"

typedef enum { PW_COLLECTIVE_RING, PW_COLLECTIVE_TREE } PwCollectiveAlgorithm;
extern const char *const pw_collective_names[]; /* "ring", "tree", NULL */

typedef struct {
  PwCollectiveAlgorithm algorithm;
  double latency_s; /* of one step; 0: that of a message */
  double bandwidth; /* bytes per second that a member sends, and receives; 0: that of a message */
} PwCollective;
/* COLLECTIVE with what it leaves open as BETWEEN has it. */
PwCollective pw_collective_over (const PwCollective *collective, const PwLink *between);
/* Bytes that two replicas of one pipeline exchange at once when they are run: larger tensors go in
 * pieces. */
#define PW_COLLECTIVE_PIECE_BYTES (INT64_C (4) << 20)
/* Seconds of an all-reduce among MEMBERS; 0 of one alone. A bandwidth of 0 is infinite. */
double pw_collective_all_reduce (const PwCollective *collective, int members, double bytes);
